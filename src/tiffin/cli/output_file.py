"""Streams that go to a file or to standard output, never to a terminal."""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tiffin.cli.command import CommandFailed


def check_destination(output: str, verb: str) -> None:
    """Refuse a terminal, or a directory that is not there; CommandFailed."""
    if not output:
        if sys.stdout.isatty():
            raise CommandFailed(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect"
            )
        return
    parent = Path(output).parent
    if not parent.is_dir():
        raise CommandFailed(
            f"failed to {verb}: invalid output path: stat {parent}: no such file or directory"
        )


def write_stream(blocks: Iterable[bytes], output: str) -> None:
    """Write a stream; a file appears only when it is complete."""
    if not output:
        for block in blocks:
            view = memoryview(block)
            while view:
                view = view[os.write(sys.stdout.fileno(), view) :]
        return
    target = Path(output)
    if target.exists() and not target.is_file():
        with target.open("wb") as device:
            device.writelines(blocks)
        return
    with tempfile.NamedTemporaryFile(
        dir=target.parent, prefix=f".{target.name}", delete=False
    ) as file:
        try:
            file.writelines(blocks)
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
