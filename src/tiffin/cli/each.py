"""Verbs that do one thing to each of their arguments."""

import sys
from collections.abc import Callable, Sequence

from tiffin.cli.command import CommandFailed
from tiffin.client.api import ApiError


def for_each(names: Sequence[str], act: Callable[[str], object], *, echo: bool = True) -> int:
    """Call `act` for every name, printing each that worked; 1 if any failed, with its reason."""
    failed = False
    for name in names:
        try:
            act(name)
        except ApiError as error:
            print(f"Error response from daemon: {error.message}", file=sys.stderr)
            failed = True
        else:
            if echo:
                print(name, flush=True)
    return int(failed)


def confirm(question: str) -> None:
    """Ask before something is lost; CommandFailed unless the answer is yes."""
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandFailed("operation cancelled" if sys.stdin.isatty() else "", 1)
