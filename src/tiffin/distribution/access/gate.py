"""The contract of access: a gate identifies who comes, and says what they may do.

Actions are Docker's: `pull`, `push`, `delete`. A *visit* is one request's identity with its rights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aiohttp import web


class Action(StrEnum):
    """What may be done to a repository."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Need:
    """What a request needs to be allowed."""

    repository: str
    action: Action


class Visit(Protocol):
    """Who is asking."""

    @property
    def user(self) -> str:
        """The name, "" for anonymous."""

    def may(self, repository: str, action: Action) -> bool:
        """Tell whether that is allowed."""


class Gate(Protocol):
    """One way to control access."""

    async def admit(self, request: web.Request) -> Visit:
        """Identify the client; UNAUTHORIZED if its credentials are wrong, TOOMANYREQUESTS."""

    def challenge(self, request: web.Request, needs: Iterable[Need], error: str = "") -> str:
        """Return the `WWW-Authenticate` that says how to get in; "" if nothing helps."""

    @property
    def wants_credentials(self) -> bool:
        """Whether `/v2/` must be answered by a challenge when credentials are missing."""

    @property
    def page_challenge(self) -> str:
        """The challenge that makes a browser ask for a password; "" if that does not help."""


@dataclass(frozen=True, slots=True)
class _Anybody:
    user: str = ""

    def may(self, repository: str, action: Action) -> bool:
        del repository, action
        return True


class OpenGate:
    """Everybody may do everything."""

    wants_credentials = False
    page_challenge = ""

    async def admit(self, request: web.Request) -> Visit:
        """Let in."""
        del request
        return _Anybody()

    def challenge(self, request: web.Request, needs: Iterable[Need], error: str = "") -> str:
        """Nothing to ask for."""
        del request, needs, error
        return ""
