"""Credentials as clients hand them over: `X-Registry-Auth` and `X-Registry-Config`."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from tiffin.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks. All empty is anonymous.

    `identity_token` is an OAuth2 refresh token, `registry_token` a bearer token to be used as is.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    server_address: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, server_address={self.server_address!r})"

    @property
    def is_anonymous(self) -> bool:
        """Whether there is nothing to authenticate with."""
        return not (self.username or self.identity_token or self.registry_token)

    @classmethod
    def from_json(cls, value: object) -> "Credentials":
        """Read Docker's AuthConfig object; InvalidArgument."""
        if not isinstance(value, Mapping):
            raise InvalidArgument("invalid X-Registry-Auth header: expected an object")
        raw = {str(key).lower(): item for key, item in value.items()}
        username, password = _text(raw, "username"), _text(raw, "password")
        if not username and (packed := _text(raw, "auth")):
            username, _, password = _decode(packed).decode("utf-8", "replace").partition(":")
        return cls(
            username=username,
            password=password,
            identity_token=_text(raw, "identitytoken"),
            registry_token=_text(raw, "registrytoken"),
            server_address=_text(raw, "serveraddress"),
        )


ANONYMOUS = Credentials()


def decode_auth(header: str) -> Credentials:
    """Decode `X-Registry-Auth` (base64url of JSON, padded or not); InvalidArgument."""
    if not header:
        return ANONYMOUS
    return Credentials.from_json(_load(header))


def decode_auths(header: str) -> dict[str, Credentials]:
    """Decode `X-Registry-Config`: credentials by registry host; InvalidArgument."""
    if not header:
        return {}
    document = _load(header)
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise InvalidArgument("invalid X-Registry-Config header: expected an object")
    return {host_of(str(key)): Credentials.from_json(item) for key, item in document.items()}


def host_of(address: str) -> str:
    """Return the registry domain that a server address such as `https://host/v1/` means."""
    host = address.partition("://")[2] or address
    host = host.partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def _load(header: str) -> object:
    try:
        return json.loads(_decode(header))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid X-Registry-Auth header: {error}") from error


def _decode(text: str) -> bytes:
    stripped = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.b64decode(
            stripped + "=" * (-len(stripped) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"invalid X-Registry-Auth header: {error}") from error


def _text(raw: Mapping[str, object], key: str) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidArgument(f"invalid X-Registry-Auth header: {key} is not a string")
    return value
