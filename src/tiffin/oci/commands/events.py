"""`events`: figures of a container at intervals, and when memory ran out, as lines of JSON."""

import json
import re
import sys
import time
from typing import Any

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux import pidfd
from tiffin.oci.command import Call
from tiffin.oci.container import STOPPED, Container
from tiffin.oci.flags import FLAG, Flag

WORDS = "<container-id>"
FLAGS = (
    Flag("interval", help="how often to show figures (default: 5s)"),
    Flag("stats", FLAG, help="show the figures once"),
)
OOM_CHECK_S = 0.2
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def run(call: Call) -> int:
    """Print them until the container ends."""
    container = call.container(call.container_id())
    interval_s = parse_duration(call.parsed.text("interval", "5s"))
    if interval_s <= 0:
        raise InvalidArgument("duration interval must be greater than 0")
    if container.status() == STOPPED:
        raise FailedPrecondition(f"container with id {container.record.id} is not running")
    if call.parsed.has("stats"):
        _print("stats", container)
    else:
        _follow(container, interval_s)
    return 0


def parse_duration(text: str) -> float:
    """Return the seconds of `1m30s`; InvalidArgument."""
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise InvalidArgument(f'invalid duration "{text}"')
    return sum(
        float(number) * _UNITS[unit]
        for number, _, unit in re.findall(r"(\d+(\.\d+)?)(ms|s|m|h)", text)
    )


def _follow(container: Container, interval_s: float) -> None:
    descriptor = container.open()
    kills, due = container.group.oom_kills(), time.monotonic() + interval_s
    while not pidfd.has_ended(descriptor, max(0.0, min(OOM_CHECK_S, due - time.monotonic()))):
        now = container.group.oom_kills()
        if now > kills:
            kills = now
            _print("oom", container)
        if time.monotonic() >= due:
            due += interval_s
            _print("stats", container)


def _print(kind: str, container: Container) -> None:
    event: dict[str, Any] = {"type": kind, "id": container.record.id}
    if kind == "stats":
        event["data"] = figures(container.group.stats())
    print(json.dumps(event, separators=(",", ":")))  # noqa: T201
    sys.stdout.flush()


def figures(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the figures as runc names them."""
    memory, cpu, pids = raw["memory"], raw["cpu"], raw["pids"]
    kept = memory["stats"]
    return {
        "cpu": {
            "usage": {
                "total": cpu["total_ns"],
                "percpu": cpu["percpu_ns"],
                "kernel": cpu["kernel_ns"],
                "user": cpu["user_ns"],
            },
            "throttling": {
                "periods": cpu["periods"],
                "throttledPeriods": cpu["throttled_periods"],
                "throttledTime": cpu["throttled_ns"],
            },
        },
        "cpuset": {},
        "memory": {
            "cache": kept.get("cache", kept.get("file", 0)),
            "usage": {
                "limit": memory["limit"],
                "usage": memory["usage"],
                "max": memory["max_usage"],
                "failcnt": memory["failcnt"],
            },
            "swap": {"limit": 0, "usage": memory["swap_usage"], "failcnt": 0},
            "kernel": {"limit": 0, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 0},
            "raw": kept,
        },
        "pids": {"current": pids["current"], "limit": pids["limit"]},
        "blkio": {
            "ioServiceBytesRecursive": raw["blkio"]["io_service_bytes_recursive"],
            "ioServicedRecursive": raw["blkio"]["io_serviced_recursive"],
        },
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": None,
    }
