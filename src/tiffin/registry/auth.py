"""Getting in: Basic and Bearer authentication, with tokens cached by scope until they expire.

Credentials go over TLS, or to hosts that may be spoken to without: the registry itself where it is
reached so (see `endpoints`), token servers elsewhere only if they are configured as insecure.

Token protocol: the distribution project's token and OAuth2 specifications.
"""

import asyncio
import base64
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from yarl import URL

from tiffin.registry.challenge import Challenge, parse_challenges
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import is_insecure
from tiffin.registry.errors import RegistryError
from tiffin.registry.transport import Transport, parse_url

CLIENT_ID = "tiffin"
_DEFAULT_LIFE_S = 60.0
_LONGEST_LIFE_S = 86_400.0
_MAX_TOKEN = 1 << 20
_NO_SUCH_METHOD = frozenset({404, 405})
_MARGIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for."""

    repository: str
    actions: str = "pull"
    kind: str = "repository"

    def __str__(self) -> str:
        return f"{self.kind}:{self.repository}:{self.actions}"


CATALOG = Scope("catalog", "*", "registry")
"""For the list of all repositories."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; `expires_at` is in the clock's seconds; `refresh` is "" if not given."""

    value: str
    expires_at: float
    refresh: str = ""


class Authorizer:
    """Makes the `Authorization` header for one endpoint."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials = ANONYMOUS,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._base = parse_url(f"{transport.endpoint.url}/v2/", "registry")
        self._credentials = credentials
        self._clock = clock
        self._challenges: list[Challenge] | None = None
        self._tokens: dict[tuple[str, ...], Token] = {}
        self._lock = asyncio.Lock()
        self.identity_token = ""

    async def ping(self) -> None:
        """Ask the endpoint once what it wants; RegistryError if it is no v2 registry."""
        async with self._lock:
            if self._challenges is not None:
                return
            response, _ = await self._transport.document("GET", self._base, accept=(200, 401))
            headers = response.headers.getall("WWW-Authenticate", [])
            self._challenges = parse_challenges(headers) if response.status == 401 else []

    async def header(self, scopes: Iterable[Scope] = ()) -> dict[str, str]:
        """Return the headers that authorize `scopes`; empty if none are wanted."""
        await self.ping()
        if not self._challenges:
            return {}
        bearer = next((c for c in self._challenges if c.scheme == "bearer"), None)
        if bearer is not None:
            if self._credentials.registry_token:
                return {"Authorization": f"Bearer {self._credentials.registry_token}"}
            token = await self._token(bearer, tuple(sorted({str(scope) for scope in scopes})))
            return {"Authorization": f"Bearer {token.value}"}
        if any(challenge.scheme == "basic" for challenge in self._challenges):
            if not self._credentials.username:
                raise RegistryError("no basic auth credentials", code="UNAUTHORIZED", status=401)
            return {"Authorization": self._basic()}
        return {}

    def forget(self) -> None:
        """Drop cached tokens, after the registry refused one."""
        self._tokens.clear()

    async def login(self) -> str:
        """Check the credentials; return an identity token ("" if the server gives none)."""
        headers = await self.header()
        await self._transport.document("GET", self._base, headers=headers)
        return self.identity_token

    async def _token(self, challenge: Challenge, scopes: tuple[str, ...]) -> Token:
        async with self._lock:
            token = self._tokens.get(scopes)
            if token is None or token.expires_at <= self._clock():
                token = await self._fetch(challenge, scopes)
                self._tokens[scopes] = token
                self.identity_token = token.refresh or self.identity_token
            return token

    async def _fetch(self, challenge: Challenge, scopes: tuple[str, ...]) -> Token:
        realm = await self._realm(challenge)
        service = challenge.parameters.get("service", "")
        user = self._credentials
        if user.identity_token:
            return await self._post(
                realm, service, scopes, grant_type="refresh_token",
                refresh_token=user.identity_token,
            )  # fmt: skip
        query = [("scope", scope) for scope in scopes]
        query += [("service", service)] if service else []
        headers: dict[str, str] = {}
        if user.username:
            query += [("account", user.username), ("client_id", CLIENT_ID)]
            query += [] if scopes else [("offline_token", "true")]
            headers["Authorization"] = self._basic()
        try:
            _, body = await self._transport.document(
                "GET", realm.extend_query(query), headers=headers, limit=_MAX_TOKEN
            )
        except RegistryError as error:
            if error.status not in _NO_SUCH_METHOD or not user.username:
                raise
            # A server that speaks OAuth2 alone.
            return await self._post(
                realm, service, scopes, grant_type="password", username=user.username,
                password=user.password, access_type="" if scopes else "offline",
            )  # fmt: skip
        return self._parse(body, realm)

    async def _post(
        self, realm: URL, service: str, scopes: tuple[str, ...], **fields: str
    ) -> Token:
        form = {"service": service, "client_id": CLIENT_ID, "scope": " ".join(scopes), **fields}
        _, body = await self._transport.document(
            "POST",
            realm,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            data=urlencode({key: value for key, value in form.items() if value}).encode(),
            limit=_MAX_TOKEN,
        )
        return self._parse(body, realm)

    async def _realm(self, challenge: Challenge) -> URL:
        text = challenge.parameters.get("realm", "")
        realm = parse_url(text, "token realm")
        if realm.scheme not in ("http", "https") or not realm.host:
            raise RegistryError(f"invalid token realm {text[:200]!r}")
        endpoint = self._transport.endpoint
        if realm.scheme == "https" or self._credentials.is_anonymous:
            return realm
        is_own = realm.authority == endpoint.host and not endpoint.is_tls
        if not is_own and not await is_insecure(realm.authority, endpoint.insecure):
            raise RegistryError(f"{endpoint.host} asks for credentials over plain HTTP ({text})")
        return realm

    def _parse(self, body: bytes, realm: URL) -> Token:
        try:
            raw = json.loads(body)
            value = raw.get("token") or raw.get("access_token")
            life_s = float(raw.get("expires_in") or _DEFAULT_LIFE_S)
            refresh = raw.get("refresh_token") or ""
        except (ValueError, AttributeError, TypeError, RecursionError, OverflowError) as error:
            raise RegistryError(f"{realm}: the token server's answer is malformed") from error
        if not isinstance(value, str) or not isinstance(refresh, str) or not value:
            raise RegistryError("authorization server did not include a token in the response")
        if any(not " " < mark < "\x7f" for mark in value) or math.isnan(life_s):
            raise RegistryError(f"{realm}: the token server's answer is malformed")
        life_s = min(max(life_s, _DEFAULT_LIFE_S), _LONGEST_LIFE_S)
        return Token(value, self._clock() + life_s - _MARGIN_S, refresh)

    def _basic(self) -> str:
        pair = f"{self._credentials.username}:{self._credentials.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()
