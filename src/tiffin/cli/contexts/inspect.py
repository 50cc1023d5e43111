"""`context inspect`: everything about contexts."""

import os
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.contexts.ls import default_host
from tiffin.cli.flags import Values, string
from tiffin.cli.inspecting import inspect
from tiffin.client import context_store
from tiffin.client.contexts import (
    ContextError,
    context_directories,
    current_context,
    load_context,
)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON, or a template per context."""
    settings = context.settings
    names = arguments or [
        current_context(settings.config, settings.context, bool(settings.hosts), os.environ)
    ]
    return inspect(names, lambda name: _describe(context, name), values["format"])


def _describe(context: Context, name: str) -> dict[str, Any]:
    directory = context.settings.config
    if name == "default":
        return {
            "Name": name,
            "Metadata": {},
            "Endpoints": {"docker": {"Host": default_host(), "SkipTLSVerify": False}},
            "TLSMaterial": {},
            "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
        }
    meta, tls = context_directories(directory, name)
    files = [f"{part}.pem" for part in context_store.tls_files(directory, name)]
    try:
        stored = load_context(directory, name)
    except ContextError as error:
        raise CommandFailed(str(error)) from error
    return {
        **stored,
        "TLSMaterial": {"docker": files} if files else {},
        "Storage": {"MetadataPath": str(meta), "TLSPath": str(tls)},
    }


COMMAND = Command(
    synopsis="[OPTIONS] [CONTEXT] [CONTEXT...]",
    summary="Display detailed information on one or more contexts",
    run=run,
    flags=[string("format", "Format output using a custom template", "f")],
)
