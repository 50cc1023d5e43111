"""Docker's client configuration: `config.json`, stored contexts, credentials.

~/.docker/config.json
~/.docker/contexts/meta/<sha256 of the name>/meta.json
~/.docker/contexts/tls/<sha256 of the name>/docker/{ca,cert,key}.pem
"""

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.client.endpoint import Endpoint, TlsFiles, parse_endpoint

if TYPE_CHECKING:
    from pathlib import Path  # its import costs as much as a request: most commands do without

Directory = str | os.PathLike[str]

DEFAULT_SOCKETS = ("/run/tiffin/tiffin.sock",)


class ContextError(Exception):
    """A context is missing or its files are broken."""


def config_directory(chosen: str = "") -> str:
    """Return the directory of the client's configuration."""
    return chosen or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")  # noqa: PTH111


def load_config(directory: Directory) -> dict[str, Any]:
    """Return `config.json`, {} if there is none; ContextError if it is broken."""
    path = os.path.join(directory, "config.json")
    try:
        with open(path, encoding="utf-8") as file:
            loaded = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ContextError(f"loading config file: {path}: {error}") from error
    return loaded if isinstance(loaded, dict) else {}


def context_directories(directory: Directory, name: str) -> "tuple[Path, Path]":
    """Return the metadata and TLS directories of a context."""
    import hashlib  # contexts are rare
    from pathlib import Path

    identifier = hashlib.sha256(name.encode()).hexdigest()
    base = Path(directory) / "contexts"
    return base / "meta" / identifier, base / "tls" / identifier


def load_context(directory: Directory, name: str) -> dict[str, Any]:
    """Return a context's metadata; ContextError."""
    meta, _ = context_directories(directory, name)
    try:
        loaded = json.loads((meta / "meta.json").read_text())
    except FileNotFoundError:
        raise ContextError(
            f'context "{name}": context not found: open {meta / "meta.json"}: '
            "no such file or directory"
        ) from None
    except ValueError as error:
        raise ContextError(f'context "{name}": {error}') from error
    return loaded if isinstance(loaded, dict) else {}


def context_endpoint(directory: Directory, name: str) -> Endpoint:
    """Return where a stored context points to; ContextError."""
    endpoint = load_context(directory, name).get("Endpoints", {}).get("docker", {})
    tls_directory = context_directories(directory, name)[1] / "docker"
    tls: TlsFiles | None = None
    if tls_directory.is_dir():
        ca, certificate, key = (
            str(path) if (path := tls_directory / f"{part}.pem").exists() else ""
            for part in ("ca", "cert", "key")
        )
        tls = TlsFiles(ca, certificate, key, not endpoint.get("SkipTLSVerify", False))
    return parse_endpoint(endpoint.get("Host", ""), tls)


def current_context(
    directory: Directory, chosen: str, host_given: bool, environment: Mapping[str, str]
) -> str:
    """Return the name of the context in force, by Docker's order of precedence."""
    if chosen:
        return chosen
    if host_given or environment.get("DOCKER_HOST"):
        return "default"
    if name := environment.get("DOCKER_CONTEXT"):
        return name
    return str(load_config(directory).get("currentContext") or "default")
