"""Streams that come from a file or from standard input."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tiffin.cli.command import CommandFailed

BLOCK = 1 << 18


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for "" and "-"; CommandFailed."""
    if path in ("", "-"):
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise CommandFailed(f"open {path}: {(error.strerror or '').lower()}") from error
    with file:
        yield file


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the file's bytes."""
    while data := file.read(BLOCK):
        yield data
