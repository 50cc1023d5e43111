"""The built-in token server: `GET /token` and, as OAuth2, `POST /token`.

Specification: the distribution project's "Token Authentication" and "OAuth2". Access tokens live
for minutes and carry what the policy allows of what was asked for. A refresh token (an "identity
token" to Docker's clients) stands for the password until that changes.
"""

import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aiohttp import web

from tiffin.distribution.access.gate import Action
from tiffin.distribution.access.passwords import PasswordGate
from tiffin.distribution.access.scopes import parse_scopes
from tiffin.distribution.access.tokens import Key, Verifier, secret_key, sign, write_access
from tiffin.distribution.errors import Code, DistributionError
from tiffin.errors import Unauthorized
from tiffin.fs import atomic

ISSUER = "tiffin-registry"
PATH = "/token"
_REFRESH = ISSUER + "/refresh"
_REFRESH_LIFE_S = 90 * 24 * 3600


class TokenServer:
    """Issues tokens to the users of a password gate; they live `life_s`."""

    def __init__(
        self, passwords: PasswordGate, key: Key, *, service: str, life_s: int = 300
    ) -> None:
        self._passwords = passwords
        self._key = key
        self._service = service
        self._life_s = life_s
        self._refreshing = Verifier([key], issuer=_REFRESH, service=service)

    async def get(self, request: web.Request) -> web.Response:
        """Answer the token protocol's request; anonymous without credentials."""
        header = request.headers.get("Authorization", "")
        user = await self._passwords.authenticate(request, header) if header else ""
        query = request.query
        answer = self._answer(user, query.getall("scope", []))
        if user and query.get("offline_token") == "true":
            answer["refresh_token"] = self._refresh_token(user)
        return _no_store(answer)

    async def post(self, request: web.Request) -> web.Response:
        """Answer an OAuth2 request: by password or refresh token."""
        if (request.content_length or 0) > 1 << 16:
            raise DistributionError(Code.SIZE_INVALID, status=413)
        form = {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
        kind = form.get("grant_type", "")
        if kind == "password":
            user = await self._by_password(request, form)
        elif kind == "refresh_token":
            user = self._by_refresh_token(form.get("refresh_token", ""))
        else:
            message = "grant_type is neither password nor refresh_token"
            raise DistributionError(Code.UNSUPPORTED, message, status=400)
        answer = self._answer(user, [form.get("scope", "")])
        if form.get("access_type") == "offline" or kind == "refresh_token":
            answer["refresh_token"] = self._refresh_token(user)
        return _no_store(answer)

    async def _by_password(self, request: web.Request, form: dict[str, str]) -> str:
        import base64

        pair = f"{form.get('username', '')}:{form.get('password', '')}"
        header = "Basic " + base64.b64encode(pair.encode()).decode()
        return await self._passwords.authenticate(request, header)

    def _by_refresh_token(self, token: str) -> str:
        try:
            claims = self._refreshing.claims(token)
            user = str(claims.get("sub", ""))
            known = self._passwords.users.fingerprint(user)
            if not known or claims.get("password") != known:
                raise Unauthorized("the password has changed")
        except Unauthorized as error:
            raise DistributionError(Code.UNAUTHORIZED, error.message) from error
        return user

    def _answer(self, user: str, scopes: Iterable[str]) -> dict[str, Any]:
        granted = {
            (name, action)
            for name, asked in parse_scopes(scopes)
            for action in ([a.value for a in Action] if asked == "*" else [asked])
            if action in set(Action) and self._passwords.policy.may(user, name, Action(action))
        }
        claims = {
            "iss": ISSUER,
            "sub": user,
            "aud": self._service,
            "jti": secrets.token_hex(8),
            "access": write_access(granted),
        }
        token = sign(claims, self._key, self._life_s)
        return {
            "token": token,
            "access_token": token,
            "expires_in": self._life_s,
            "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }

    def _refresh_token(self, user: str) -> str:
        claims = {
            "iss": _REFRESH,
            "sub": user,
            "aud": self._service,
            "password": self._passwords.users.fingerprint(user),
        }
        return sign(claims, self._key, _REFRESH_LIFE_S)


def load_secret(file: Path) -> Key:
    """Read the secret that tokens are signed with, make one if there is none; OSError."""
    try:
        secret = file.read_bytes()
    except FileNotFoundError:
        secret = secrets.token_bytes(32)
        atomic.write(file, secret, mode=0o600)
    return secret_key(secret)


def _no_store(answer: dict[str, Any]) -> web.Response:
    return web.json_response(answer, headers={"Cache-Control": "no-store"})
