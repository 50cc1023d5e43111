"""The `none` driver: output goes to attached clients only."""


class NoneDriver:
    """Drops everything."""

    def write(self, stream: str, data: bytes, time_ns: int) -> None:
        """Drop the bytes."""

    def close(self) -> None:
        """Nothing to close."""
