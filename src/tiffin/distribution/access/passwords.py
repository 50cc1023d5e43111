"""Basic authentication (RFC 7617) against an htpasswd file, with rights by policy."""

import base64
import binascii
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from tiffin.distribution.access.gate import Action, Need, Visit
from tiffin.distribution.access.htpasswd import Htpasswd
from tiffin.distribution.access.policy import Policy
from tiffin.distribution.errors import Code, DistributionError

REALM = "Registry"


@dataclass(frozen=True, slots=True)
class PolicyVisit:
    """A user whose rights the policy knows."""

    user: str
    policy: Policy

    def may(self, repository: str, action: Action) -> bool:
        """Ask the policy."""
        return self.policy.may(self.user, repository, action)


class Throttle:
    """Slows guessing down: after `limit` failures within `window_s`, an address has to wait."""

    def __init__(
        self,
        limit: int = 20,
        window_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._failures: dict[str, list[float]] = {}

    def check(self, address: str) -> None:
        """TOOMANYREQUESTS if the address has to wait."""
        recent = self._recent(address)
        if len(recent) >= self._limit:
            wait_s = int(self._window_s - (self._clock() - recent[0])) + 1
            headers = {"Retry-After": str(wait_s)}
            message = "too many failed logins"
            raise DistributionError(Code.TOOMANYREQUESTS, message, headers=headers)

    def note_failure(self, address: str) -> None:
        """Count a failure."""
        if len(self._failures) > 10_000:
            for known in list(self._failures):
                self._recent(known)
        self._failures[address] = [*self._recent(address), self._clock()]

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - self._window_s
        recent = [at for at in self._failures.get(address, ()) if at > since]
        if recent:
            self._failures[address] = recent
        else:
            self._failures.pop(address, None)
        return recent


class PasswordGate:
    """Users by htpasswd, rights by policy."""

    wants_credentials = True
    page_challenge = f'Basic realm="{REALM}", charset="UTF-8"'

    def __init__(self, users: Htpasswd, policy: Policy, throttle: Throttle | None = None) -> None:
        self.users = users
        self.policy = policy
        self._throttle = throttle or Throttle()

    async def admit(self, request: web.Request) -> Visit:
        """Check the password, if there is one; UNAUTHORIZED, TOOMANYREQUESTS."""
        header = request.headers.get("Authorization", "")
        if not header:
            return PolicyVisit("", self.policy)
        return PolicyVisit(await self.authenticate(request, header), self.policy)

    async def authenticate(self, request: web.Request, header: str) -> str:
        """Return the user's name; UNAUTHORIZED, TOOMANYREQUESTS."""
        address = request.remote or ""
        self._throttle.check(address)
        user, password = parse_basic(header)
        if user and await self.users.check(user, password):
            return user
        self._throttle.note_failure(address)
        raise DistributionError(
            Code.UNAUTHORIZED,
            "incorrect username or password",
            headers={"WWW-Authenticate": self.challenge(request, ())},
        )

    def challenge(self, request: web.Request, needs: Iterable[Need], error: str = "") -> str:
        """Ask for a password, unless there is one already: it would not help."""
        del request, needs
        return "" if error else f'Basic realm="{REALM}"'


def parse_basic(header: str) -> tuple[str, str]:
    """Return name and password, ("", "") for anything else."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return "", ""
    user, separator, password = pair.partition(":")
    return (user, password) if separator and "\0" not in pair else ("", "")
