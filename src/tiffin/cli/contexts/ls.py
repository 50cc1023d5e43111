"""`context ls`: list contexts."""

import os
import sys
from typing import Any

from tiffin.cli.command import Command, Context
from tiffin.cli.connect import OWN_SOCKET
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.table import Row, print_rows
from tiffin.client import context_store
from tiffin.client.contexts import current_context, load_context

DEFAULT = (
    "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}"
)
OVERRIDES = (
    "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, "
    "either set the global --context flag, or unset DOCKER_HOST environment variable."
)
DESCRIPTION = "Current DOCKER_HOST based configuration"
HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT",
           "Error": "ERROR", "Current": ""}  # fmt: skip


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """List them, the one in force marked."""
    del arguments
    directory = context.settings.config
    current = current_context(
        directory, context.settings.context, bool(context.settings.hosts), os.environ
    )
    stored = [load_context(directory, name) for name in context_store.names(directory)]
    host = default_host()
    default = {
        "Name": "default", "Endpoints": {"docker": {"Host": host}},
        "Metadata": {"Description": DESCRIPTION},
    }  # fmt: skip
    found = sorted([default, *stored], key=lambda item: str(item["Name"]))
    if values["quiet"]:
        for item in found:
            print(item["Name"])
    else:
        rows = (_row(item, current) for item in found)
        print_rows(rows, format_text=values["format"], default=DEFAULT, headers=HEADERS)
    if os.environ.get("DOCKER_HOST"):
        sys.stdout.flush()
        print(OVERRIDES, file=sys.stderr)
    return 0


def default_host() -> str:
    """Return where the default context points to."""
    return os.environ.get("DOCKER_HOST") or f"unix://{OWN_SOCKET}"


def _row(item: dict[str, Any], current: str) -> Row:
    return Row(
        {
            "Name": item["Name"],
            "Current": item["Name"] == current,
            "Description": (item.get("Metadata") or {}).get("Description", ""),
            "DockerEndpoint": item["Endpoints"].get("docker", {}).get("Host", ""),
            "Error": "",
        }
    )


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="List contexts",
    run=run,
    maximum=0,
    flags=[
        string("format", "Format output using a custom template"),
        boolean("quiet", "Only show context names", "q"),
    ],
)
