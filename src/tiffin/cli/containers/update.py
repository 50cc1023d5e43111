"""`update`: change the limits and the restart policy of containers."""

from typing import Any

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import BYTES, DECIMAL, UINT16, Flag, UsageError, Values, integer, string
from tiffin.client.api import path_part

MEMBERS = {
    "blkio-weight": "BlkioWeight", "cpu-period": "CpuPeriod", "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod", "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares", "cpus": "NanoCpus", "cpuset-cpus": "CpusetCpus",
    "cpuset-mems": "CpusetMems", "memory": "Memory", "memory-reservation": "MemoryReservation",
    "memory-swap": "MemorySwap", "pids-limit": "PidsLimit",
}  # fmt: skip


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Send what was given to every container."""
    body: dict[str, Any] = {
        member: values[flag] for flag, member in MEMBERS.items() if values.given(flag)
    }
    if values.given("restart"):
        name, _, count = values["restart"].partition(":")
        body["RestartPolicy"] = {"Name": name, "MaximumRetryCount": int(count or 0)}
    if not body:
        raise UsageError("you must provide one or more flags when using this command")

    def update(name: str) -> None:
        answer = context.api.post(f"/containers/{path_part(name)}/update", None, body)
        for warning in (answer or {}).get("Warnings") or []:
            context.warn(warning)

    return for_each(arguments, update)


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Update configuration of one or more containers",
    run=run,
    minimum=1,
    flags=[
        Flag("blkio-weight", UINT16,
             "Block IO (relative weight), between 10 and 1000, or 0 to disable", default=0),
        integer("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
        integer("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        integer("cpu-rt-period", "Limit the CPU real-time period in microseconds"),
        integer("cpu-rt-runtime", "Limit the CPU real-time runtime in microseconds"),
        integer("cpu-shares", "CPU shares (relative weight)", "c"),
        Flag("cpus", DECIMAL, "Number of CPUs", default=0),
        string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
        string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
        Flag("memory", BYTES, "Memory limit", "m", 0),
        Flag("memory-reservation", BYTES, "Memory soft limit", default=0),
        Flag("memory-swap", BYTES,
             "Swap limit equal to memory plus swap: -1 to enable unlimited swap", default=0),
        integer("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
        string("restart", "Restart policy to apply when a container exits"),
    ],
)  # fmt: skip
