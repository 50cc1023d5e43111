"""What a command is, and what it gets to work with."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.cli.flags import Flag, Values
from tiffin.client.api import Api

if TYPE_CHECKING:
    from pathlib import Path  # dear to import: see client/contexts.py

PROGRAM = "tiffin"
UNLIMITED = -1


class CommandFailed(Exception):
    """The command ends with `message` on standard error and `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Globals(NamedTuple):
    """What stood before the command's name."""

    config_path: str
    context: str
    hosts: list[str]
    debug: bool
    connect: Callable[[], Api]

    @property
    def config(self) -> "Path":
        """The directory of the client's configuration."""
        from pathlib import Path

        return Path(self.config_path)


class Context:
    """One invocation: the daemon (connected when first asked for) and the global settings."""

    def __init__(self, settings: Globals) -> None:
        self.settings = settings
        self._api: Api | None = None

    @property
    def api(self) -> Api:
        """The daemon; started if it is the default one and nothing answers."""
        if self._api is None:
            self._api = self.settings.connect()
        return self._api

    @property
    def config_file(self) -> dict[str, Any]:
        """The client's `config.json`."""
        from tiffin.client.contexts import load_config

        return load_config(self.settings.config_path)

    def warn(self, text: str) -> None:
        """Print a warning as Docker does."""
        print(f"WARNING: {text}", file=sys.stderr)


Run = Callable[[Context, Values, list[str]], int]


class Command(NamedTuple):
    """One verb: `run` returns the exit code; the number of arguments is checked before."""

    synopsis: str
    summary: str
    run: Run
    flags: Sequence[Flag] = ()
    minimum: int = 0
    maximum: int = UNLIMITED
    interspersed: bool = True
    failure_code: int = 1
    """Exit code for values that do not fit together (125 for what makes containers)."""
    runs: bool = False
    """Whether errors of the daemon are told from the container's own by a prefix and 125."""
    details: str = ""
    """Further paragraphs of `--help`."""

    def usage(self, words: Sequence[str]) -> str:
        """Return the `Usage:` line of the command under the name that was typed."""
        return f"Usage:  {PROGRAM} {' '.join(words)} {self.synopsis}".rstrip()


def api_environment() -> str:
    """Return the API version pinned by the environment, or ""."""
    return os.environ.get("DOCKER_API_VERSION", "")
