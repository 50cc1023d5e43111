"""`version`: what runs on both sides."""

import platform
import sys
from typing import Any

from tiffin import __version__
from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, string
from tiffin.client.api import NEWEST, ApiError
from tiffin.client.http import ConnectFailed
from tiffin.wire.template import Template
from tiffin.wire.template_error import TemplateError


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print both versions; 1 if the daemon does not answer."""
    del arguments
    client = {
        "Platform": {"Name": ""}, "Version": __version__, "ApiVersion": NEWEST,
        "DefaultAPIVersion": NEWEST, "GoVersion": f"python{platform.python_version()}",
        "Os": "linux", "Arch": _architecture(), "Context": context.settings.context or "default",
    }  # fmt: skip
    server: dict[str, Any] | None = None
    fault = ""
    try:
        server = context.api.get("/version")
        client["ApiVersion"] = context.api.version
    except (ApiError, ConnectFailed) as error:
        fault = str(error)
    both = {"Client": client, "Server": server}
    if values["format"]:
        template = "{{json .}}" if values["format"] == "json" else values["format"]
        print(Template(template).render({side: _Side(both[side]) for side in both}))
    else:
        _print(client, server)
    if fault:
        print(fault, file=sys.stderr)
    return int(bool(fault))


class _Side(dict[str, Any]):
    """One side's versions, by Go's names of its fields as well as by JSON's."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        super().__init__(found or {})

    def template_field(self, name: str) -> object:
        """Return a member for the template engine."""
        spelled = {"APIVersion": "ApiVersion"}.get(name, name)
        if spelled in self:
            return self[spelled]
        if name in ("Experimental", "GitCommit", "BuildTime", "KernelVersion", "MinAPIVersion"):
            return ""
        raise TemplateError(
            f'template: version:1:2: executing "version" at <.{name}>: '
            f"can't evaluate field {name} in type version"
        )


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _print(client: dict[str, Any], server: dict[str, Any] | None) -> None:
    print("Client: Tiffin")
    _lines(client, 2)
    if server is None:
        return
    print(f"\nServer: {(server.get('Platform') or {}).get('Name') or 'Engine'}")
    for component in server.get("Components") or []:
        print(f" {component['Name']}:")
        details = component.get("Details") or {}
        _lines({**details, "Version": component["Version"]}, 3)


_LABELS = {"ApiVersion": "API version", "MinAPIVersion": "", "GoVersion": "Language",
           "GitCommit": "Git commit", "BuildTime": "Built", "KernelVersion": "Kernel"}  # fmt: skip


def _lines(found: dict[str, Any], indent: int) -> None:
    order = ["Version", "ApiVersion", "GoVersion", "GitCommit", "BuildTime", "KernelVersion"]
    for name in order:
        if found.get(name):
            text = str(found[name])
            if name == "ApiVersion" and found.get("MinAPIVersion"):
                text += f" (minimum version {found['MinAPIVersion']})"
            print(f"{' ' * (indent - 1)}{_LABELS.get(name, name) + ':':<18} {text}")
    if found.get("Os"):
        print(f"{' ' * (indent - 1)}{'OS/Arch:':<18} {found['Os']}/{found['Arch']}")
    if found.get("Context"):
        print(f"{' ' * (indent - 1)}{'Context:':<18} {found['Context']}")


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Show the Tiffin version information",
    run=run,
    maximum=0,
    flags=[string("format", "Format output using a custom template", "f")],
)
