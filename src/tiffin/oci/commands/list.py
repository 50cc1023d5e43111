"""`list`: the containers below the root."""

import json
from collections.abc import Sequence
from typing import Any

from tiffin.errors import InvalidArgument, NotFound
from tiffin.oci.command import Call
from tiffin.oci.flags import FLAG, Flag

WORDS = ""
FLAGS = (
    Flag("format", short="f", help='select one of: "table" or "json"'),
    Flag("quiet", FLAG, "q", "display only container IDs"),
)
_HEADER = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def run(call: Call) -> int:
    """Print them."""
    call.expect(0, 0)
    if call.has_root and not call.store.root.is_dir():
        raise NotFound(f"open {call.store.root}: no such file or directory")
    if call.parsed.has("quiet"):
        for name in call.store.ids():
            print(name)  # noqa: T201
        return 0
    form = call.parsed.text("format", "table")
    if form not in ("table", "json"):
        raise InvalidArgument("invalid format option")
    found = []
    for name in call.store.ids():
        try:
            found.append({**call.container(name).state(), "owner": _owner(call, name)})
        except (NotFound, FileNotFoundError):  # deleted meanwhile
            continue
    print(_json(found) if form == "json" else _table(found))  # noqa: T201
    return 0


def _json(found: Sequence[dict[str, Any]]) -> str:
    return json.dumps(found or None, separators=(",", ":"))


def _owner(call: Call, name: str) -> str:
    import pwd  # for this alone

    owner = call.store.load(name).owner
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return f"#{owner}"


def _table(found: Sequence[dict[str, Any]]) -> str:
    keys = ("id", "pid", "status", "bundle", "created", "owner")
    rows = [_HEADER, *(tuple(str(item[key]) for key in keys) for item in found)]
    widths = [max(12, *(len(row[at]) + 1 for row in rows)) for at in range(len(keys))]
    lines = [
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
