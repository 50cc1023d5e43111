"""Reading a rotated file: blocks of whole lines, from a given tail on, and following it.

All files are opened before the first byte is given out, so that rotation meanwhile takes nothing
away. A follower finds its file by inode: whatever was rotated while it slept is read first.
"""

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, cast

BLOCK = 1 << 18
_TAIL_BLOCK = 1 << 16


def blocks(path: Path, *, tail: int = -1, follow: bool = False) -> Iterator[bytes | None]:
    """Yield blocks of whole lines, oldest first; `tail` -1 for all, else the last so many lines.

    With `follow` it goes on for ever, and yields None when nothing is there for now.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(file) for file in _open_all(path)]
        if tail >= 0:
            files = _seek_tail(files, tail)
        for file in files[:-1]:
            yield from _whole_lines(file)
        if not files:
            if not follow:
                return
            file = None
        else:
            file = files[-1]
        stack.pop_all()
        for other in files[:-1]:
            other.close()
    with ExitStack() as stack:
        if follow:
            yield from _follow(path, file)
        elif file is not None:
            stack.enter_context(file)
            yield from _whole_lines(file)


def _rotated(path: Path) -> list[str]:
    """Return the rotated files, newest first."""
    found: list[str] = []
    while True:
        base = f"{path}.{len(found) + 1}"
        if os.path.exists(base):
            found.append(base)
        elif os.path.exists(f"{base}.gz"):
            found.append(f"{base}.gz")
        else:
            return found


def _open_all(path: Path) -> list[BinaryIO]:
    files: list[BinaryIO] = []
    seen: set[int] = set()
    for name in [str(path), *_rotated(path)]:
        with suppress(FileNotFoundError):
            raw = open(name, "rb", buffering=0)
            inode = os.fstat(raw.fileno()).st_ino
            if inode in seen:
                raw.close()
                continue
            seen.add(inode)
            files.append(
                cast("BinaryIO", gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw)
            )
    files.reverse()
    return files


def _seek_tail(files: list[BinaryIO], tail: int) -> list[BinaryIO]:
    """Position the files at the last `tail` lines; return those that are still to be read."""
    for index in range(len(files) - 1, -1, -1):
        tail -= _skip_to_tail(files[index], tail)
        if tail <= 0:
            for file in files[:index]:
                file.close()
            for later in files[index + 1 :]:
                later.seek(0)
            return files[index:]
    return files


def _skip_to_tail(file: BinaryIO, tail: int) -> int:
    """Seek to the last `tail` lines; return how many there are up to that number."""
    if isinstance(file, gzip.GzipFile):
        return _skip_forward(file, tail)
    end = position = file.seek(0, os.SEEK_END)
    counted = -1 if _ends_in_newline(file, end) else 0
    while position > 0:
        size = min(_TAIL_BLOCK, position)
        position -= size
        block = os.pread(file.fileno(), size, position)
        newlines = block.count(b"\n")
        if counted + newlines >= tail:
            at = len(block)
            for _ in range(tail - counted):
                at = block.rfind(b"\n", 0, at)
            file.seek(position + at + 1)
            return tail
        counted += newlines
    file.seek(0)
    return counted + 1 if end else 0


def _ends_in_newline(file: BinaryIO, end: int) -> bool:
    return end > 0 and os.pread(file.fileno(), 1, end - 1) == b"\n"


def _skip_forward(file: BinaryIO, tail: int) -> int:
    total = sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK), b""))
    file.seek(0)
    for _ in range(total - tail):
        file.readline()
    return min(total, tail)


def _whole_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield up to the end of the file; a line that is still being written is left out."""
    carry = b""
    while block := file.read(BLOCK):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield carry + block[:cut]
            carry = block[cut:]
        else:
            carry += block


class _Follower:
    """The file that is read now, and the incomplete line at its end."""

    def __init__(self, path: Path, file: BinaryIO | None) -> None:
        self._path = path
        self._file = file
        self._carry = b""

    def read(self) -> bytes:
        """Return whole lines, b"" for nothing now."""
        while True:
            if self._file is None and not self._open(str(self._path)):
                return b""
            assert self._file is not None
            block = self._file.read(BLOCK)
            if not block:
                if self._was_truncated() or self._step_over_rotation():
                    continue
                return b""
            cut = block.rfind(b"\n") + 1
            lines, self._carry = self._carry + block[:cut], self._carry * (not cut) + block[cut:]
            if cut:
                return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open(self, name: str) -> bool:
        try:
            raw = open(name, "rb", buffering=0)
        except FileNotFoundError:
            return False
        self.close()
        self._carry = b""
        self._file = cast("BinaryIO", gzip.GzipFile(fileobj=raw) if name.endswith(".gz") else raw)
        return True

    def _was_truncated(self) -> bool:
        assert self._file is not None
        if isinstance(self._file, gzip.GzipFile):
            return False
        if os.fstat(self._file.fileno()).st_size >= self._file.tell():
            return False
        self._file.seek(0)
        self._carry = b""
        return True

    def _step_over_rotation(self) -> bool:
        """Open the next newer file if ours was rotated; whether there is more to read."""
        assert self._file is not None
        if isinstance(self._file, gzip.GzipFile):
            ours = os.fstat(cast("BinaryIO", self._file.fileobj).fileno())
        else:
            ours = os.fstat(self._file.fileno())
        names = [str(self._path), *_rotated(self._path)]
        try:
            if os.path.samestat(ours, os.stat(names[0])):
                return False
        except FileNotFoundError:
            return False
        if not isinstance(self._file, gzip.GzipFile) and ours.st_size > self._file.tell():
            return True  # the last lines were written between our read and the rotation
        for newer, name in zip(names, names[1:], strict=False):
            with suppress(FileNotFoundError):
                if os.path.samestat(ours, os.stat(name)):
                    return self._open(newer)
        return self._open(names[-1] if ours.st_nlink else names[0])


def _follow(path: Path, file: BinaryIO | None) -> Iterator[bytes | None]:
    follower = _Follower(path, file)
    try:
        while True:
            yield follower.read() or None
    finally:
        follower.close()
