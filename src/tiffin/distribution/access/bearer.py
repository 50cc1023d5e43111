"""Token authentication: who comes without a token is sent to the token server's realm."""

from collections.abc import Iterable

from aiohttp import web

from tiffin.distribution.access.gate import Need, Visit
from tiffin.distribution.access.passwords import PasswordGate
from tiffin.distribution.access.scopes import format_scopes
from tiffin.distribution.access.tokens import Grants, Verifier
from tiffin.distribution.errors import Code, DistributionError
from tiffin.errors import Unauthorized


class BearerGate:
    """Rights by token.

    With `passwords`, users may come with name and password instead, and what is open to anonymous
    needs neither. `realm` is the token server's URL; a path stands for this server.
    """

    wants_credentials = True

    def __init__(
        self,
        verifier: Verifier,
        *,
        realm: str,
        service: str,
        passwords: PasswordGate | None = None,
    ) -> None:
        self._verifier = verifier
        self._realm = realm
        self._service = service
        self._passwords = passwords
        self.page_challenge = passwords.page_challenge if passwords else ""

    async def admit(self, request: web.Request) -> Visit:
        """Verify the token, if there is one; UNAUTHORIZED."""
        header = request.headers.get("Authorization", "")
        scheme, _, value = header.partition(" ")
        if self._passwords is not None and (not header or scheme.lower() == "basic"):
            return await self._passwords.admit(request)
        if not header:
            return Grants("", frozenset())
        try:
            if scheme.lower() != "bearer":
                raise Unauthorized(f"unsupported scheme {scheme[:20]!r}")
            return self._verifier.grants(value.strip())
        except Unauthorized as error:
            challenge = self.challenge(request, (), "invalid_token")
            raise DistributionError(
                Code.UNAUTHORIZED, error.message, headers={"WWW-Authenticate": challenge}
            ) from error

    def challenge(self, request: web.Request, needs: Iterable[Need], error: str = "") -> str:
        """Name the realm and the scope of the token that is needed."""
        if request.headers.get("Authorization", "").lower().startswith("basic "):
            return ""  # the password was right; the rights do not suffice
        realm = self._realm if "://" in self._realm else f"{origin(request)}{self._realm}"
        parameters = [f'realm="{realm}"', f'service="{self._service}"']
        if scope := format_scopes(needs):
            parameters.append(f'scope="{scope}"')
        if error:
            parameters.append(f'error="{error}"')
        return f"Bearer {','.join(parameters)}"


def origin(request: web.Request) -> str:
    """Return this server's base URL as the client sees it, also behind a TLS proxy."""
    forwarded = request.headers.get("X-Forwarded-Proto", "")
    scheme = forwarded if forwarded in ("http", "https") else request.scheme
    host = "".join(c for c in request.host if c.isalnum() or c in ".-:[]_")
    return f"{scheme}://{host}"
