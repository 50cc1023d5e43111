"""Progress of pull, push, load and build: JSON lines → lines on a terminal that move, or plain text."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tiffin.cli import human, terminal
from tiffin.cli.command import CommandFailed

BAR_WIDTH = 50
WIDE = 110
"""Terminals of more columns have room for bars."""

Message = dict[str, Any]


def show(messages: Iterable[Message], out: TextIO | None = None) -> list[Any]:
    """Print a stream as it comes and return its `aux` values; CommandFailed for its error.

    On a terminal each `id` has a line of its own that is rewritten in place; elsewhere only changes
    of status are printed, without bars.
    """
    out = out or sys.stdout
    display = _Display(out, moving=terminal.is_terminal(out.fileno()))
    aux: list[Any] = []
    for message in messages:
        error = message.get("errorDetail") or (
            {"message": message["error"]} if "error" in message else None
        )
        if error is not None:
            out.flush()
            raise CommandFailed(str(error.get("message", "")), 1)
        if "aux" in message:
            aux.append(message["aux"])
        else:
            display.show(message)
    out.flush()
    return aux


class _Display:
    def __init__(self, out: TextIO, *, moving: bool) -> None:
        self._out = out
        self._moving = moving
        self._lines: dict[str, int] = {}
        self._columns = terminal.size(out.fileno())[1] if moving else 0

    def show(self, message: Message) -> None:
        """Print one message."""
        if "stream" in message:
            self._out.write(message["stream"])
            self._out.flush()
            return
        identifier = message.get("id", "")
        detail = message.get("progressDetail") or {}
        if not self._moving:
            if not detail:
                self._out.write(_plain(message) + "\n")
                self._out.flush()
            return
        if not identifier:
            # Text between groups of bars: what moved so far stays where it is.
            self._lines.clear()
            self._out.write(_plain(message) + "\n")
        else:
            text = _plain(message) + _bar(detail, self._columns)
            # A line that wraps would take two, and all lines above it would be miscounted.
            self._rewrite(identifier, text[: self._columns] if self._columns else text)
        self._out.flush()

    def _rewrite(self, identifier: str, text: str) -> None:
        if identifier not in self._lines:
            self._lines[identifier] = len(self._lines)
            self._out.write("\n")
        up = len(self._lines) - self._lines[identifier]
        self._out.write(f"\x1b[{up}A\x1b[2K\r{text}\x1b[{up}B\r")


def _plain(message: Message) -> str:
    identifier = message.get("id", "")
    prefix = f"{identifier}: " if identifier else ""
    return prefix + str(message.get("status", ""))


def _bar(detail: Message, columns: int) -> str:
    current, total = detail.get("current", 0), detail.get("total", 0)
    if not current and not total:
        return ""
    if detail.get("units"):
        return f" {current}/{total} {detail['units']}" if total else f" {current} {detail['units']}"
    if not total or current > total:
        return f" {human.size(current):>8}"
    amounts = f"{human.size(current):>8}/{human.size(total)}"
    if 0 < columns <= WIDE:
        return f" {amounts}"
    done = int(current / total * BAR_WIDTH)
    return f" [{'=' * done}>{' ' * (BAR_WIDTH - done)}] {amounts}"
