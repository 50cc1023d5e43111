"""`update`: change a container's limits while it lives."""

import json
import sys
from typing import Any

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.oci.command import Call
from tiffin.oci.container import STOPPED
from tiffin.oci.flags import Flag

WORDS = "<container-id>"
_LIMITS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_TEXTS = frozenset({"cpuset-cpus", "cpuset-mems"})
_UNOFFERED = ("l3-cache-schema", "mem-bw-schema")
FLAGS = (
    Flag("resources", short="r", help="file with the new limits as JSON, - for stdin"),
    *(Flag(name) for name in _LIMITS),
    *(Flag(name) for name in _UNOFFERED),
    *(Flag(name, help="obsolete, no effect") for name in ("kernel-memory", "kernel-memory-tcp")),
)


def run(call: Call) -> int:
    """Change them."""
    container = call.container(call.container_id())
    if container.status() == STOPPED:
        raise FailedPrecondition("container not running")
    for name in _UNOFFERED:
        if call.parsed.text(name):
            raise FailedPrecondition(f"--{name}: Intel RDT is not offered")
    changes = _from_file(call.parsed.text("resources")) or _from_flags(call)
    changes.pop("devices", None)
    try:
        container.group.update(changes, call.log.warning)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error
    return 0


def _from_file(path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        if path == "-":
            found = json.load(sys.stdin)
        else:
            with open(path, "rb") as file:
                found = json.load(file)
    except ValueError as error:
        raise InvalidArgument(f"{path}: {error}") from error
    if not isinstance(found, dict):
        raise InvalidArgument(f"{path}: must hold an object")
    return found


def _from_flags(call: Call) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, (controller, limit) in _LIMITS.items():
        text = call.parsed.text(name)
        if not text:
            continue
        try:
            value = text if name in _TEXTS else _bytes(text)
        except ValueError:
            raise InvalidArgument(f"invalid value for {name}: {text}") from None
        changes.setdefault(controller, {})[limit] = value
    return changes


def _bytes(text: str) -> int:
    """Return a number with a unit of 1024, as `--memory 64M` has it."""
    unit = text[-1:].lower()
    if unit in ("k", "m", "g", "t"):
        return int(text[:-1]) << (10 * ("kmgt".index(unit) + 1))
    return int(text)
