"""Reading a rotated file: blocks of whole lines, from a given tail on, and following it.

All files are opened before the first byte is given out, so that rotation meanwhile takes nothing
away. A follower finds its file by inode: whatever was rotated while it slept is read first.
"""

import gzip
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

BLOCK = 1 << 18
_TAIL_BLOCK = 1 << 16
_COMPRESSED = ".gz"


class _File:
    """One of the files; OSError if it cannot be opened."""

    def __init__(self, name: str) -> None:
        self._raw = Path(name).open("rb", buffering=0)  # noqa: SIM115  # closed by `close`
        self.is_compressed = name.endswith(_COMPRESSED)
        self._data = gzip.GzipFile(fileobj=self._raw) if self.is_compressed else self._raw
        self._carry = b""

    def status(self) -> os.stat_result:
        return os.fstat(self._raw.fileno())

    def tell(self) -> int:
        return self._data.tell()

    def rewind(self) -> None:
        self._data.seek(0)
        self._carry = b""

    def close(self) -> None:
        self._data.close()
        self._raw.close()

    def whole_lines(self) -> bytes:
        """Return the next lines; b"" at the end. A line that is still being written waits."""
        while block := self._data.read(BLOCK):
            cut = block.rfind(b"\n") + 1
            if not cut:
                self._carry += block
                continue
            if not (self._carry or self.is_compressed):
                # To read the rest once more costs less than to copy what comes after it.
                self._raw.seek(cut - len(block), os.SEEK_CUR)
                return block[:cut]
            lines = self._carry + block[:cut]
            self._carry = block[cut:]
            return lines
        return b""

    def seek_tail(self, tail: int) -> int:
        """Go to the last `tail` lines; return how many there are, up to that number."""
        if self.is_compressed:
            return self._seek_tail_forward(tail)
        fd = self._raw.fileno()
        position = self._raw.seek(0, os.SEEK_END)
        found = -1  # the newline that ends the last line begins none
        while position > 0:
            size = min(_TAIL_BLOCK, position)
            position -= size
            block = os.pread(fd, size, position)
            newlines = block.count(b"\n")
            if found + newlines >= tail:
                at = len(block)
                for _ in range(tail - found):
                    at = block.rfind(b"\n", 0, at)
                self._raw.seek(position + at + 1)
                return tail
            found += newlines
        self._raw.seek(0)
        return found + 1

    def _seek_tail_forward(self, tail: int) -> int:
        total = 0
        while lines := self.whole_lines():
            total += lines.count(b"\n")
        self.rewind()
        for _ in range(total - tail):
            self._data.readline()
        return min(total, tail)


def blocks(path: Path, *, tail: int = -1, follow: bool = False) -> Iterator[bytes | None]:
    """Yield blocks of whole lines, oldest first; `tail` -1 for all, else the last so many lines.

    With `follow` it goes on for ever, and yields None when nothing is there for now.
    """
    files = _open_all(path)
    follower = _Follower(path, files.pop() if follow and files else None)
    try:
        if tail >= 0:
            _seek_tail([*files, *follower.files], tail)
        while files:
            while lines := files[0].whole_lines():
                yield lines
            files.pop(0).close()
        while follow:
            yield follower.read() or None
    finally:
        for file in [*files, *follower.files]:
            file.close()


def _names(path: Path) -> list[str]:
    """Return the names of all files, newest first."""
    found = [str(path)]
    while True:
        rotated = f"{path}.{len(found)}"
        if os.access(rotated, os.F_OK):
            found.append(rotated)
        elif os.access(rotated + _COMPRESSED, os.F_OK):
            found.append(rotated + _COMPRESSED)
        else:
            return found


def _open_all(path: Path) -> list[_File]:
    """Open all files, oldest first; one that is renamed meanwhile is found once."""
    files: list[_File] = []
    seen: set[int] = set()
    for name in _names(path):
        with suppress(FileNotFoundError):
            file = _File(name)
            if file.status().st_ino in seen:
                file.close()
            else:
                seen.add(file.status().st_ino)
                files.append(file)
    files.reverse()
    return files


def _seek_tail(files: list[_File], tail: int) -> None:
    for file in reversed(files):
        tail -= file.seek_tail(tail)


class _Follower:
    """The newest file, and what takes its place."""

    def __init__(self, path: Path, file: _File | None) -> None:
        self._path = path
        self._file = file

    @property
    def files(self) -> list[_File]:
        """The file that is read now, if there is one."""
        return [self._file] if self._file is not None else []

    def read(self) -> bytes:
        """Return whole lines, b"" for nothing now."""
        while True:
            if self._file is None and not self._open(str(self._path)):
                return b""
            assert self._file is not None
            lines = self._file.whole_lines()
            if lines or not (self._rewind_truncated() or self._step_over_rotation()):
                return lines

    def _open(self, name: str) -> bool:
        try:
            file = _File(name)
        except FileNotFoundError:
            return False
        if self._file is not None:
            self._file.close()
        self._file = file
        return True

    def _rewind_truncated(self) -> bool:
        assert self._file is not None
        if self._file.is_compressed or self._file.status().st_size >= self._file.tell():
            return False
        self._file.rewind()
        return True

    def _step_over_rotation(self) -> bool:
        """Open the next newer file if ours was rotated; whether there is more to read."""
        assert self._file is not None
        ours = self._file.status()
        names = _names(self._path)
        try:
            if os.path.samestat(ours, Path(names[0]).stat()):
                return False
        except FileNotFoundError:
            return False
        if not self._file.is_compressed and ours.st_size > self._file.tell():
            return True  # the last lines were written between our read and the rotation
        for newer, name in pairwise(names):
            with suppress(FileNotFoundError):
                if os.path.samestat(ours, Path(name).stat()):
                    return self._open(newer)
        # Ours is gone. Without compression all that is left is newer; with it, ours became `.gz`.
        return self._open(names[0] if names[-1].endswith(_COMPRESSED) else names[-1])
