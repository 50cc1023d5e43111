"""Files that are either the old or the new, never half: write a temporary, sync, rename."""

import ctypes
import os
import secrets
from pathlib import Path


def write(path: Path | str, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace the file `path` by `data` atomically; OSError.

    A durable write has reached the disk, name included, when this returns; any other survives a
    crash of the process but not of the machine.
    """
    path = str(path)
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)}.{secrets.token_hex(4)}"
    if not os.path.dirname(path):
        temporary = temporary[1:]
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            write_all(fd, data)
            os.fchmod(fd, mode)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if durable:
        sync_directory(os.path.dirname(path) or ".")


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of `data` to `fd`; OSError."""
    written = os.write(fd, data)
    if written == len(data):
        return
    rest = memoryview(data)[written:]
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: Path | str) -> None:
    """Make the names in the directory `path` durable; OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(path: Path | str) -> None:
    """Write out everything that is dirty on the file system of `path` (syncfs(2)); OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(fd)
