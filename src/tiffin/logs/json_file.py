"""The writing half of the `json-file` driver."""

import time
from pathlib import Path

from tiffin.logs import json_format
from tiffin.logs.json_format import PARTIAL_SIZE
from tiffin.logs.rotation import RotatingFile
from tiffin.spec.times import format_time


class JsonFileDriver:
    """Writes lines as they are complete; what is left without a newline at the end is partial.

    All lines that came in one read carry one time.
    """

    def __init__(self, target: RotatingFile, attributes: dict[str, str] | None = None) -> None:
        self._file = target
        self._attributes = dict(attributes or {})
        self._pending: dict[str, bytes] = {}

    def write(self, stream: str, data: bytes, time_ns: int) -> None:
        """Take bytes just read from the process; OSError if they cannot be written."""
        pending = self._pending.pop(stream, b"")
        if pending:
            data = pending + data
        end = json_format.ending(stream, self._attributes, format_time(time_ns))
        records: list[bytes] = []
        start = seen = 0
        while len(data) - seen >= PARTIAL_SIZE:
            # The last newline in the window ends a run of lines that are all short enough.
            newline = data.rfind(b"\n", seen, seen + PARTIAL_SIZE)
            if newline >= 0:
                seen = newline + 1
                continue
            if start < seen:
                records += json_format.lines(data[start:seen], end)
            start = json_format.cut_point(data, seen)
            records += json_format.part(data[seen:start], end)
            seen = start
        cut = data.rfind(b"\n", seen) + 1 or seen
        if start < cut:
            records += json_format.lines(data[start:cut], end)
        if cut < len(data):
            self._pending[stream] = data[cut:]
        if records:
            self._file.write(records)

    @property
    def is_idle(self) -> bool:
        """Whether no line is incomplete and no compression under way."""
        return not self._pending and not self._file.is_compressing

    def flush(self, time_ns: int) -> None:
        """Write what is pending as a line that goes on."""
        for stream, data in self._pending.items():
            end = json_format.ending(stream, self._attributes, format_time(time_ns))
            self._file.write(json_format.part(data, end))
        self._pending.clear()

    def close(self) -> None:
        """Write an unterminated last line and close the file."""
        try:
            self.flush(time.time_ns())
        finally:
            self._file.close()


def open_driver(
    path: Path,
    *,
    max_size: int,
    max_files: int,
    compress: bool,
    attributes: dict[str, str] | None = None,
) -> JsonFileDriver:
    """Return a driver that appends to `path`."""
    target = RotatingFile(path, max_size=max_size, max_files=max_files, compress=compress)
    return JsonFileDriver(target, attributes)
