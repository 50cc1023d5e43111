"""Writing stored contexts, in the layout that Docker's own client reads."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tiffin.client.contexts import ContextError, context_directories, load_context

TLS_NAMES = ("ca", "cert", "key")


def names(directory: Path) -> Iterator[str]:
    """Yield the names of all stored contexts, sorted."""
    found = []
    for meta in (directory / "contexts" / "meta").glob("*/meta.json"):
        try:
            found.append(str(json.loads(meta.read_text())["Name"]))
        except (OSError, ValueError, KeyError) as error:
            raise ContextError(f"context store: {meta}: {error}") from error
    yield from sorted(found)


def exists(directory: Path, name: str) -> bool:
    """Tell whether a context is stored."""
    return (context_directories(directory, name)[0] / "meta.json").exists()


def save(
    directory: Path, name: str, description: str, endpoint: Mapping[str, Any],
    tls: Mapping[str, bytes],
) -> None:  # fmt: skip
    """Write a context; `tls` maps ca, cert and key to PEM bytes."""
    meta, tls_directory = context_directories(directory, name)
    meta.mkdir(parents=True, exist_ok=True)
    metadata = {"Description": description} if description else {}
    document = {"Name": name, "Metadata": metadata, "Endpoints": {"docker": dict(endpoint)}}
    (meta / "meta.json").write_text(json.dumps(document))
    if tls:
        target = tls_directory / "docker"
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part, data in tls.items():
            (target / f"{part}.pem").touch(0o600)
            (target / f"{part}.pem").write_bytes(data)


def remove(directory: Path, name: str) -> None:
    """Delete a context; ContextError if there is none."""
    load_context(directory, name)
    for path in context_directories(directory, name):
        shutil.rmtree(path, ignore_errors=True)


def tls_files(directory: Path, name: str) -> dict[str, bytes]:
    """Return the PEM files of a context."""
    base = context_directories(directory, name)[1] / "docker"
    return {p: (base / f"{p}.pem").read_bytes() for p in TLS_NAMES if (base / f"{p}.pem").exists()}
