"""Verbs that do one thing to each of their arguments."""

import sys
from collections.abc import Callable, Sequence

from tiffin.cli.command import CommandFailed
from tiffin.client.api import ApiError


def for_each(names: Sequence[str], act: Callable[[str], object], *, echo: bool = True) -> int:
    """Call `act` for every name, printing each that worked; 1 if any failed, with its reason."""
    return int(bool(failures(names, act, echo=echo)))


def failures(names: Sequence[str], act: Callable[[str], object], *, echo: bool = True) -> list[str]:
    """Call `act` for every name, printing each that worked; return those that failed."""
    failed: list[str] = []
    for name in names:
        try:
            act(name)
        except ApiError as error:
            print(f"Error response from daemon: {error.message}", file=sys.stderr)
            failed.append(name)
        else:
            if echo:
                print(name, flush=True)
    return failed


def confirm(question: str) -> None:
    """Ask before something is lost; CommandFailed (with code 0) unless the answer is yes."""
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    try:
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        print()
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise CommandFailed("", 0)
