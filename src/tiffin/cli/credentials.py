"""Credentials of registries as the daemon gets them: `X-Registry-Auth` and `X-Registry-Config`.

They come from `DOCKER_AUTH_CONFIG`, else from the store that `config.json` names.
"""

import base64
import json
import os
import sys
from typing import Any

from tiffin.cli.command import CommandFailed, Context
from tiffin.cli.credential_store import Login, store_for, unpack

HUB = "https://index.docker.io/v1/"
_VARIABLE = "DOCKER_AUTH_CONFIG"


def registry_of(image: str) -> str:
    """Return the registry of an image's name, as `config.json` spells it."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return HUB if first in ("docker.io", "index.docker.io") else first
    return HUB


def registry_auth(context: Context, image: str) -> dict[str, str]:
    """Return the `X-Registry-Auth` header for an image, {} without credentials."""
    found = lookup(context.config_file, registry_of(image))
    return {"X-Registry-Auth": encode(found)} if found else {}


def registry_config(context: Context) -> dict[str, str]:
    """Return the `X-Registry-Config` header with the credentials of all registries."""
    config = context.config_file
    names = {*(config.get("credHelpers") or {}), *_from_environment()}
    try:
        names |= set(store_for(config, "").servers())
    except CommandFailed as error:
        context.warn(error.message)
    found = {name: auth for name in sorted(names) if (auth := lookup(config, name))}
    return {"X-Registry-Config": encode(found)} if found else {}


def encode(auth: object) -> str:
    """Return JSON in URL-safe base64."""
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


def lookup(config: dict[str, Any], registry: str) -> dict[str, str]:
    """Return the API's AuthConfig for a registry, {} if nothing is known; CommandFailed.

    A helper that fails costs the credentials alone, which may not be needed.
    """
    login = _from_environment().get(registry)
    try:
        login = login or store_for(config, registry).get(registry)
    except CommandFailed as error:
        print(f"WARNING: {error.message}", file=sys.stderr)
    return login.to_api() if login else {}


def _from_environment() -> dict[str, Login]:
    """Return the credentials that the environment holds: JSON of `auths` with `auth` members."""
    text = os.environ.get(_VARIABLE, "")
    if not text:
        return {}
    try:
        auths = json.loads(text)["auths"]
        return {server: Login(server, *unpack(entry["auth"])) for server, entry in auths.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandFailed(f"failed to read credentials from {_VARIABLE}: {error}") from error
