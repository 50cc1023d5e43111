"""Help texts with Docker's layout, rendered from the table of commands and flags."""

import shutil
import textwrap
from collections.abc import Sequence

from tiffin.cli.flags import BOOL, Flag

PROGRAM = "tiffin"
WIDEST_COLUMN = 45


def command_usage(words: Sequence[str], synopsis: str) -> str:
    """Return the `Usage:` line of a command."""
    return f"Usage:  {PROGRAM} {' '.join(words)} {synopsis}".rstrip()


def flag_lines(flags: Sequence[Flag]) -> list[str]:
    """Return the aligned `Options:` lines."""
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    shown = sorted((flag for flag in flags if not flag.hidden), key=lambda flag: flag.name)
    left = [_left(flag) for flag in shown]
    column = max((len(text) for text in left), default=0) + 3
    lines: list[str] = []
    for text, flag in zip(left, shown, strict=True):
        lines.extend(_wrapped(text.ljust(column), column, _described(flag), width))
    return lines


def _left(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    label = "" if flag.kind is BOOL else f" {flag.kind.label}"
    return f"  {short}--{flag.name}{label}"


def _described(flag: Flag) -> str:
    return flag.help + (f" (default {flag.shown_default})" if flag.shown_default else "")


def _wrapped(left: str, column: int, text: str, width: int) -> list[str]:
    body: list[str] = []
    for part in text.split("\n"):
        body.extend(textwrap.wrap(part, max(width - column, 20)) or [""])
    return [left + body[0], *(" " * column + line for line in body[1:])]
