"""`context export`: a context as an archive."""

import io
import json
import sys
import tarfile
from pathlib import Path

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values
from tiffin.client import context_store
from tiffin.client.contexts import ContextError, load_context


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Write `NAME.dockercontext`, a file of one's choice, or standard output."""
    del values
    name = arguments[0]
    output = arguments[1] if len(arguments) > 1 else f"{name}.dockercontext"
    try:
        data = _archive(context, name)
    except ContextError as error:
        raise CommandFailed(str(error)) from error
    if output == "-":
        if sys.stdout.isatty():
            raise CommandFailed("cowardly refusing to export to a terminal, specify a file path")
        sys.stdout.buffer.write(data)
        return 0
    try:
        with Path(output).open("xb") as file:
            file.write(data)
    except OSError as error:
        raise CommandFailed(f"open {output}: {(error.strerror or '').lower()}") from error
    print(f'Written file "{output}"', file=sys.stderr)
    return 0


def _archive(context: Context, name: str) -> bytes:
    directory = context.settings.config
    members = {"meta.json": json.dumps(load_context(directory, name)).encode()}
    for part, data in context_store.tls_files(directory, name).items():
        members[f"tls/docker/{part}.pem"] = data
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o600 if path.startswith("tls") else 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


COMMAND = Command(
    synopsis="[OPTIONS] CONTEXT [FILE|-]",
    summary="Export a context to a tar archive FILE or a tar stream on STDOUT.",
    run=run,
    minimum=1,
    maximum=2,
)
