"""Bearer tokens: JSON Web Tokens with an `access` claim (the distribution project's token spec).

A token says what its bearer may do: `[{"type": "repository", "name": …, "actions": […]}]`. The keys
decide about the algorithm, never the token: RS256, ES256 and their longer kin for public keys,
HS256 only for the secret of a registry that issues its tokens itself.
"""

import importlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiffin.distribution.access.gate import Action
from tiffin.errors import InvalidArgument, Unauthorized, Unimplemented

LEEWAY_S = 60
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": ("ES256",), "secp384r1": ("ES384",), "secp521r1": ("ES512",)}


@dataclass(frozen=True, slots=True)
class Key:
    """A key that tokens may be signed with; `identifier` is its `kid`, "" if it has none."""

    value: Any
    algorithms: tuple[str, ...]
    identifier: str = ""


@dataclass(frozen=True, slots=True)
class Grants:
    """What a token allows; `user` is its subject."""

    user: str
    access: frozenset[tuple[str, str]]

    def may(self, repository: str, action: Action) -> bool:
        """Tell whether the token allows that."""
        return bool(self.access & {(repository, action.value), (repository, "*")})


class Verifier:
    """Checks tokens of one issuer for one service."""

    def __init__(self, keys: Sequence[Key], *, issuer: str, service: str) -> None:
        if not keys:
            raise InvalidArgument("there is no key to verify tokens with")
        self._jwt: Any = jwt()
        self._keys = keys
        self._issuer = issuer
        self._service = service

    def claims(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a valid token; Unauthorized."""
        try:
            header = self._jwt.get_unverified_header(token)
        except self._jwt.PyJWTError as error:
            raise Unauthorized(f"invalid token: {error}") from error
        reason: Exception = Unauthorized("it was signed with an unknown key")
        for key in self._candidates(header):
            try:
                claims: Mapping[str, Any] = self._jwt.decode(
                    token, key.value, algorithms=list(key.algorithms), audience=self._service,
                    issuer=self._issuer, leeway=LEEWAY_S, options={"require": ["exp"]},
                )  # fmt: skip
                return claims
            except self._jwt.PyJWTError as error:
                reason = error
        raise Unauthorized(f"invalid token: {reason}") from reason

    def grants(self, token: str) -> Grants:
        """Return what a valid token allows; Unauthorized."""
        claims = self.claims(token)
        user = claims.get("sub", "")
        return Grants(user if isinstance(user, str) else "", read_access(claims.get("access")))

    def _candidates(self, header: Mapping[str, Any]) -> list[Key]:
        algorithm, identifier = header.get("alg"), header.get("kid")
        fitting = [key for key in self._keys if algorithm in key.algorithms]
        named = [key for key in fitting if key.identifier and key.identifier == identifier]
        return named or [key for key in fitting if not key.identifier or not identifier] or fitting


def read_access(claim: object) -> frozenset[tuple[str, str]]:
    """Return pairs of repository and action; what is malformed gives nothing."""
    found: set[tuple[str, str]] = set()
    for entry in claim if isinstance(claim, list) else ():
        if not isinstance(entry, dict) or entry.get("type") != "repository":
            continue
        name, actions = entry.get("name"), entry.get("actions")
        if isinstance(name, str) and isinstance(actions, list):
            found.update((name, action) for action in actions if isinstance(action, str))
    return frozenset(found)


def write_access(granted: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the claim for pairs of repository and action."""
    by_name: dict[str, list[str]] = {}
    for name, action in sorted(granted):
        by_name.setdefault(name, []).append(action)
    return [{"type": "repository", "name": n, "actions": a} for n, a in by_name.items()]


def load_keys(files: Sequence[Path]) -> list[Key]:
    """Read public keys and certificates (PEM) and key sets (JWKS); InvalidArgument."""
    keys: list[Key] = []
    for file in files:
        try:
            data = file.read_bytes()
            found = _key_set(data) if data.lstrip().startswith(b"{") else _pem(data)
        except Unimplemented:
            raise
        except Exception as error:
            raise InvalidArgument(f"{file}: cannot read a public key: {error}") from error
        keys += found
    return keys


def secret_key(secret: bytes) -> Key:
    """Return the key of a registry that issues its tokens itself."""
    return Key(secret, ("HS256",))


def sign(claims: Mapping[str, Any], key: Key, life_s: float) -> str:
    """Return a token with `claims` that is valid for `life_s` from now."""
    now = int(time.time())
    stamped = {**claims, "iat": now, "nbf": now, "exp": now + int(life_s)}
    token: str = jwt().encode(stamped, key.value, algorithm=key.algorithms[0])
    return token


def jwt() -> Any:  # noqa: ANN401  # an optional module
    """Return the package PyJWT; Unimplemented."""
    try:
        return importlib.import_module("jwt")
    except ImportError:
        raise Unimplemented(
            "tokens need the package PyJWT", hint="pip install 'tiffin[registry]'"
        ) from None


def _pem(data: bytes) -> list[Key]:
    serialization, x509 = _cryptography()
    if b"BEGIN CERTIFICATE" in data:
        return [_key(c.public_key()) for c in x509.load_pem_x509_certificates(data)]
    return [_key(serialization.load_pem_public_key(data))]


def _key_set(data: bytes) -> list[Key]:
    _cryptography()
    document = json.loads(data)
    entries = document.get("keys", [document])
    found = []
    for entry in entries:
        if entry.get("kty") in ("RSA", "EC"):
            key = jwt().PyJWK(entry).key
            found.append(_key(key, str(entry.get("kid", ""))))
    return found


def _key(value: Any, identifier: str = "") -> Key:  # noqa: ANN401  # cryptography's many types
    curve: Any = getattr(value, "curve", None)
    if curve is None and not hasattr(value, "public_numbers"):
        raise InvalidArgument("neither an RSA nor an EC key")
    algorithms = _RSA if curve is None else _CURVES.get(curve.name, ())
    if not algorithms:
        raise InvalidArgument(f"unsupported curve {curve.name}")
    return Key(value, algorithms, identifier)


def _cryptography() -> tuple[Any, Any]:
    try:
        return (
            importlib.import_module("cryptography.hazmat.primitives.serialization"),
            importlib.import_module("cryptography.x509"),
        )
    except ImportError:
        raise Unimplemented(
            "tokens of another issuer need the package cryptography",
            hint="pip install 'tiffin[registry]'",
        ) from None
