"""`undo`: bring back what was removed last."""

import sys
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.table import Row, print_rows

DEFAULT = "table {{.ID}}\t{{.Operation}}\t{{.Removed}}\t{{.Expires}}\t{{.Objects}}\t{{.Size}}"
HEADERS = {"ID": "ID", "Operation": "OPERATION", "Removed": "REMOVED", "Expires": "EXPIRES",
           "Objects": "OBJECTS", "Size": "SIZE"}  # fmt: skip


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Restore the last operation, or the one named; or list them."""
    if values["list"]:
        if arguments:
            raise CommandFailed("--list takes no operation")
        return _list(context, values)
    query: dict[str, Any] = {}
    if arguments:
        if not arguments[0].isdecimal():
            raise CommandFailed(
                f"invalid operation {arguments[0]!r}: see the numbers of tiffin undo --list"
            )
        query["operation"] = arguments[0]
    return show_restored(context.api.post("/trash/restore", query))


def show_restored(report: dict[str, Any]) -> int:
    """Print what came back, and what did not with its reason; return the exit code."""
    for item in report["Restored"]:
        print(f"Restored {_described(item)}")
    for failure in report["Failed"]:
        print(f"Not restored: {_described(failure['Item'])}: {failure['Message']}", file=sys.stderr)
    return int(bool(report["Failed"]))


def _described(item: dict[str, Any]) -> str:
    kind = item["Kind"].replace("image-name", "name")
    if item["Kind"] == "image":
        return f"image {item['ID']}"
    return f"{kind} {', '.join(item['Names']) or item['ID']}"


def _list(context: Context, values: Values) -> int:
    listing = context.api.get("/trash")
    rows = [
        Row(
            {
                "ID": str(operation["Number"]),
                "Operation": operation["What"],
                "Removed": _ago(operation["RemovedAt"]),
                "Expires": _ahead(operation["ExpiresAt"]),
                "Objects": _counted(operation["Items"]),
                "Size": human.size(operation["Size"]),
            }
        )
        for operation in listing["Operations"]
    ]
    print_rows(rows, format_text=values["format"], default=DEFAULT, headers=HEADERS)
    return 0


def _counted(items: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for item in items:
        kind = item["Kind"].replace("image-name", "name")
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items())


def _ago(moment: str) -> str:
    seconds = human.parse_time(moment)
    return human.ago(seconds) if seconds else ""


def _ahead(moment: str) -> str:
    seconds = human.parse_time(moment)
    return human.ahead(seconds) if seconds else "never"


COMMAND = Command(
    synopsis="[OPTIONS] [OPERATION]",
    summary="Bring back what rmi, volume rm or prune removed last",
    run=run,
    maximum=1,
    flags=[
        boolean("list", "List what can be brought back", "l"),
        string("format", "Format the list using a custom template"),
    ],
)
