"""Credentials of registries: `config.json`, and the helper programs that it names."""

import base64
import json
from typing import Any

from tiffin.cli.command import CommandFailed, Context

HUB = "https://index.docker.io/v1/"


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
    names = {*config.get("auths", {}), *config.get("credHelpers", {})}
    found = {name: auth for name in sorted(names) if (auth := lookup(config, name))}
    return {"X-Registry-Config": encode(found)} if found else {}


def encode(auth: object) -> str:
    """Return JSON in URL-safe base64."""
    return base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()


def lookup(config: dict[str, Any], registry: str) -> dict[str, str]:
    """Return the API's AuthConfig for a registry, {} if nothing is known."""
    helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
    if helper:
        return _from_helper(helper, registry)
    entry = config.get("auths", {}).get(registry)
    if not entry:
        return {}
    auth = {"serveraddress": registry}
    if entry.get("identitytoken"):
        auth["identitytoken"] = entry["identitytoken"]
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        auth.update(username=user, password=password.rstrip("\0"))
    return auth


def _from_helper(helper: str, registry: str) -> dict[str, str]:
    import subprocess  # only users of helpers pay

    try:
        answer = subprocess.run(
            [f"docker-credential-{helper}", "get"], input=registry, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise CommandFailed(
            f"error getting credentials: {error.filename} not found in $PATH"
        ) from error
    if answer.returncode != 0:
        if "not found" in answer.stdout:
            return {}
        raise CommandFailed(f"error getting credentials: {answer.stdout.strip()}")
    found = json.loads(answer.stdout)
    if found["Username"] == "<token>":
        return {"identitytoken": found["Secret"], "serveraddress": registry}
    return {
        "username": found["Username"],
        "password": found["Secret"],
        "serveraddress": registry,
    }
