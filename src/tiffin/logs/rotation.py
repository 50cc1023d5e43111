"""An append-only file of records that is rotated at a size: `name`, `name.1` … oldest last.

With compression the rotated files are `name.1.gz` …; a child process compresses, so that the writer
goes on meanwhile. Readers may have the files open all along: a file is only renamed or unlinked,
except that a single file without successors is truncated.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_MODE = 0o640
_MAX_PORTIONS = 1024  # IOV_MAX


class RotatingFile:
    """The writing end. `max_size` is in bytes, 0 for unlimited; `max_files` counts all of them."""

    def __init__(
        self, path: Path, *, max_size: int = 0, max_files: int = 1, compress: bool = False
    ) -> None:
        self._path = path
        self._max_size = max_size
        self._max_files = max_files
        self._compress = compress
        self._compressor = 0
        self._fd = self._open(0)
        self._size = os.fstat(self._fd).st_size
        self._end_torn_record()

    @property
    def is_compressing(self) -> bool:
        """Whether a compression is under way."""
        if self._compressor:
            with suppress(ChildProcessError):
                if os.waitpid(self._compressor, os.WNOHANG)[0] == 0:
                    return True
            self._compressor = 0
        return False

    def write(self, portions: Sequence[bytes]) -> None:
        """Append records, each of which ends in a newline; OSError if the disk is full.

        They may be cut into portions anywhere.
        """
        size = sum(map(len, portions))
        if len(portions) <= _MAX_PORTIONS and (
            not self._max_size or self._size + size <= self._max_size
        ):
            written = os.writev(self._fd, portions)
            self._size += written
            if written == size:
                return
            # A disk that is all but full: what was torn off is written again, or not at all.
            self._size -= written
            os.ftruncate(self._fd, self._size)
        self._write_all(b"".join(portions))

    def _write_all(self, records: bytes) -> None:
        while records:
            if self._max_size and self._size >= self._max_size:
                self._rotate()
            whole = len(records)
            if self._max_size and self._size + whole > self._max_size:
                whole = records.find(b"\n", self._max_size - self._size - 1) + 1 or whole
            self._append(records[:whole] if whole < len(records) else records)
            records = records[whole:]

    def close(self) -> None:
        """Close the file and wait for a compression under way."""
        self._finish_compression()
        os.close(self._fd)

    def _append(self, records: bytes) -> None:
        written = os.write(self._fd, records)
        try:
            while written < len(records):
                written += os.write(self._fd, memoryview(records)[written:])
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += written

    def _open(self, flags: int) -> int:
        flags |= os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, _MODE)

    def _end_torn_record(self) -> None:
        # A writer that was killed may have left half a record; it must not swallow the next one.
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._append(b"\n")

    def _rotate(self) -> None:
        self._finish_compression()
        if self._max_files < 2:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        for number in range(self._max_files - 1, 0, -1):
            for suffix in (".gz", ""):
                with suppress(FileNotFoundError):
                    self._shift(number, suffix)
        rotated = Path(f"{self._path}.1")
        self._path.rename(rotated)
        os.close(self._fd)
        self._fd = self._open(os.O_TRUNC)
        self._size = 0
        if self._compress:
            self._compressor = os.fork()
            if not self._compressor:
                _compress(rotated)

    def _shift(self, number: int, suffix: str) -> None:
        source = Path(f"{self._path}.{number}{suffix}")
        if number == self._max_files - 1:
            source.unlink()
        else:
            source.rename(f"{self._path}.{number + 1}{suffix}")

    def _finish_compression(self) -> None:
        if self._compressor:
            with suppress(ChildProcessError):  # collected elsewhere
                os.waitpid(self._compressor, 0)
            self._compressor = 0


def _compress(path: Path) -> None:
    """Replace `path` by `path.gz` and end this process."""
    code = 1
    unfinished = Path(f"{path}.tmp")
    try:
        import gzip  # most shims never compress, and all would carry three compressors
        import shutil

        with path.open("rb") as source, gzip.open(unfinished, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target, 1 << 18)
        unfinished.rename(f"{path}.gz")
        path.unlink()
        code = 0
    finally:
        os._exit(code)
