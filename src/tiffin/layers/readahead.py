"""A stream that is read, decompressed and hashed by a thread of its own, ahead of its consumer.

Hashing, inflating and writing files all release the interpreter lock, so that they overlap.
"""

import hashlib
import queue
import threading
from types import TracebackType
from typing import Self

from tiffin.layers.compression import Source
from tiffin.spec.digest import Digest

_CHUNK = 1 << 20
_AHEAD = 8


class ReadAhead:
    """Read `source` to its end or until closed; `digest` and `size` are of all that was read.

    Closing waits for the read under way: the owner of a source that may block for ever must end it.
    """

    def __init__(self, source: Source, algorithm: str = "sha256") -> None:
        self._source = source
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm)
        self._queue: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._closed = False
        self._ended = False
        self.size = 0
        self._thread = threading.Thread(target=self._run, name="layer-read-ahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._closed = True
        self._room.release()
        self._thread.join()

    @property
    def digest(self) -> Digest:
        """The digest of the stream; only meaningful once `read` has returned b""."""
        return Digest(f"{self._algorithm}:{self._hash.hexdigest()}")

    def read(self, size: int, /) -> bytes:  # noqa: ARG002  # chunks come as they are
        """Return the next chunk, b"" at the end; what reading the source raised is raised here."""
        if self._ended:
            return b""
        item = self._queue.get()
        self._room.release()
        if isinstance(item, BaseException):
            raise item
        self._ended = not item
        return item

    def _run(self) -> None:
        try:
            while True:
                self._room.acquire()
                if self._closed:
                    return
                data = self._source.read(_CHUNK)
                self._hash.update(data)
                self.size += len(data)
                self._queue.put(data)
                if not data:
                    return
        except BaseException as error:  # noqa: BLE001  # handed over to the reader
            self._queue.put(error)
