"""Help texts with Docker's layout, rendered from the table of commands and flags."""

import importlib
from collections.abc import Sequence

from tiffin.cli import commands
from tiffin.cli.command import PROGRAM, Command
from tiffin.cli.flags import BOOL, Flag

COMMON = ("run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search",
          "version", "info")  # fmt: skip
SLOP = 5
ZERO_DEFAULTS = {"map": "map[]", "duration": "0s", "ulimit": "[]", "uint16": "0",
                 "stringToString": "[]"}  # fmt: skip
"""What pflag shows for kinds whose empty value has a text."""


def command_help(command: Command, words: Sequence[str]) -> str:
    """Return what `--help` prints for one command."""
    lines = [command.usage(words), "", command.summary]
    spellings = commands.spellings(words)
    if len(spellings) > 1:
        lines += ["", "Aliases:", "  " + ", ".join(f"{PROGRAM} {name}" for name in spellings)]
    if command.details:
        lines += ["", command.details]
    if any(not flag.hidden for flag in command.flags):
        lines += ["", "Options:", *flag_lines(command.flags)]
    return "\n".join(lines)


def group_usage(group: str) -> str:
    """Return what a group prints without a verb."""
    lines = [f"Usage:  {PROGRAM} {group} COMMAND", "", commands.GROUPS[group], "", "Commands:"]
    lines += _summaries([pair for pair in commands.verbs(group) if pair[0] != "dial-stdio"])
    lines += ["", f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def overview(flags: Sequence[Flag]) -> str:
    """Return what the program prints without a command."""
    found = commands.verbs("")
    by_name = dict(found)
    lines = [f"Usage:  {PROGRAM} [OPTIONS] COMMAND", "", "Containers, whole and in Python", ""]
    lines += ["Common Commands:", *_summaries([(name, by_name[name]) for name in COMMON]), ""]
    lines += ["Management Commands:"]
    lines += [f"  {name:<11} {text}" for name, text in sorted(commands.GROUPS.items())]
    rest = [pair for pair in found if pair[0] not in COMMON]
    lines += ["", "Commands:", *_summaries(rest), "", "Global Options:"]
    lines += flag_lines([flag for flag in flags if flag.name != "help"])
    lines += ["", f"Run '{PROGRAM} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def _summaries(found: Sequence[tuple[str, commands.Entry]]) -> list[str]:
    lines = []
    for name, entry in found:
        command: Command = importlib.import_module(f"tiffin.cli.{entry.module}").COMMAND
        lines.append(f"  {name:<11} {command.summary}")
    return lines


def flag_lines(flags: Sequence[Flag]) -> list[str]:
    """Return the aligned `Options:` lines."""
    import shutil  # 3 ms that only readers of help pay

    width = shutil.get_terminal_size((80, 24)).columns
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
    shown = flag.shown_default or ZERO_DEFAULTS.get(flag.kind.label, "")
    return flag.help + (f" (default {shown})" if shown else "")


def _wrapped(left: str, column: int, text: str, width: int) -> list[str]:
    """Wrap as pflag does: a line may be `SLOP` longer if that is where the text ends."""
    room = max(width - 1 - column, 24)
    body: list[str] = []
    while len(text) > room or "\n" in text:
        head = text[: room - SLOP] if len(text) > room else text
        at = head.find("\n") if "\n" in head else head.rfind(" ")
        if at <= 0:
            break
        body.append(text[:at])
        text = text[at + 1 :]
    body.append(text)
    return [left + body[0], *(" " * column + line for line in body[1:])]
