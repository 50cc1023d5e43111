"""`context import`: a context from an archive."""

import io
import json
import sys
import tarfile
from pathlib import PurePosixPath
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values
from tiffin.cli.input_file import open_input
from tiffin.client import context_store

LARGEST = 10 << 20


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Store it under the name that was given."""
    del values
    name, source = arguments
    directory = context.settings.config
    if context_store.exists(directory, name):
        raise CommandFailed(f'context "{name}" already exists')
    with open_input(source) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise CommandFailed(f"{source}: the context is larger than {LARGEST >> 20} MiB")
    try:
        meta, tls = _read(data)
        endpoint = meta["Endpoints"]["docker"]
    except (tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"{source}: invalid context: {error}") from error
    description = (meta.get("Metadata") or {}).get("Description", "")
    context_store.save(directory, name, description, endpoint, tls)
    print(name)
    print(f'Successfully imported context "{name}"', file=sys.stderr)
    return 0


def _read(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    meta: dict[str, Any] = {}
    tls: dict[str, bytes] = {}
    # Docker's own export ends without the padding of its last member.
    with tarfile.open(fileobj=io.BytesIO(data + b"\0" * tarfile.RECORDSIZE)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            path = PurePosixPath(member.name)
            if file is None:
                continue
            if path.name == "meta.json":
                meta = json.loads(file.read())
            elif path.stem in context_store.TLS_NAMES and path.suffix == ".pem":
                tls[path.stem] = file.read()
    return meta, tls


COMMAND = Command(
    synopsis="CONTEXT FILE|-",
    summary="Import a context from a tar or zip file",
    run=run,
    minimum=2,
    maximum=2,
)
