"""The `none` driver: output goes to attached clients only."""


class NoneDriver:
    """Drops everything."""

    is_idle = True

    def write(self, stream: str, data: bytes, time_ns: int) -> None:
        """Drop the bytes."""

    def close(self) -> None:
        """Nothing to close."""
