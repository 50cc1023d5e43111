"""Recognising the detach keys in what a client types."""


class DetachScanner:
    """Finds a byte sequence in a stream that comes in any portions.

    Bytes that may be the beginning of the sequence are held back until the next ones tell.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what goes on to the process, and whether the keys were typed.

        What follows the keys is dropped.
        """
        keys = self._keys
        if not keys:
            return data, False
        data = keys[: self._held] + data
        found = data.find(keys)
        if found >= 0:
            self._held = 0
            return data[:found], True
        self._held = next(
            (n for n in range(min(len(keys) - 1, len(data)), 0, -1) if data.endswith(keys[:n])), 0
        )
        return data[: len(data) - self._held], False
