"""Limits: Docker's Resources to OCI `linux.resources` and `process.rlimits`."""

import os
from collections.abc import Sequence
from typing import Any

from tiffin.api.types.resources import Resources, ThrottleDevice, Ulimit, WeightDevice
from tiffin.errors import InvalidArgument

JsonObject = dict[str, Any]

DEFAULT_CPU_PERIOD = 100_000
"""Microseconds; the period that `--cpus` is a share of."""
_UNLIMITED = 2**64 - 1
_RLIMITS = frozenset({
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack", "as",
})  # fmt: skip


def resources(wanted: Resources) -> JsonObject:
    """Return the OCI object without device rules; what is not limited is left out."""
    out: JsonObject = {}
    for name, part in (
        ("memory", _memory(wanted)),
        ("cpu", _cpu(wanted)),
        ("blockIO", _block_io(wanted)),
    ):
        if part:
            out[name] = part
    if wanted.pids_limit:
        out["pids"] = {"limit": wanted.pids_limit if wanted.pids_limit > 0 else -1}
    return out


def _memory(wanted: Resources) -> JsonObject:
    memory: JsonObject = {}
    if wanted.memory > 0:
        memory["limit"] = wanted.memory
    if wanted.memory_reservation > 0:
        memory["reservation"] = wanted.memory_reservation
    if wanted.memory_swap:
        memory["swap"] = wanted.memory_swap
    if wanted.kernel_memory_tcp > 0:
        memory["kernelTCP"] = wanted.kernel_memory_tcp
    if wanted.memory_swappiness is not None and wanted.memory_swappiness >= 0:
        memory["swappiness"] = wanted.memory_swappiness
    if wanted.oom_kill_disable:
        memory["disableOOMKiller"] = True
    return memory


def _cpu(wanted: Resources) -> JsonObject:
    cpu: JsonObject = {}
    if wanted.cpu_shares:
        cpu["shares"] = wanted.cpu_shares
    if wanted.nano_cpus:
        cpu["period"] = DEFAULT_CPU_PERIOD
        cpu["quota"] = wanted.nano_cpus * DEFAULT_CPU_PERIOD // 1_000_000_000
    if wanted.cpu_period:
        cpu["period"] = wanted.cpu_period
    if wanted.cpu_quota:
        cpu["quota"] = wanted.cpu_quota
    if wanted.cpu_realtime_period:
        cpu["realtimePeriod"] = wanted.cpu_realtime_period
    if wanted.cpu_realtime_runtime:
        cpu["realtimeRuntime"] = wanted.cpu_realtime_runtime
    if wanted.cpuset_cpus:
        cpu["cpus"] = wanted.cpuset_cpus
    if wanted.cpuset_mems:
        cpu["mems"] = wanted.cpuset_mems
    return cpu


def _block_io(wanted: Resources) -> JsonObject:
    block: JsonObject = {}
    if wanted.blkio_weight:
        block["weight"] = wanted.blkio_weight
    if wanted.blkio_weight_device:
        block["weightDevice"] = [_weight(item) for item in wanted.blkio_weight_device]
    for name, devices in (
        ("throttleReadBpsDevice", wanted.blkio_device_read_bps),
        ("throttleWriteBpsDevice", wanted.blkio_device_write_bps),
        ("throttleReadIOPSDevice", wanted.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", wanted.blkio_device_write_iops),
    ):
        if devices:
            block[name] = [_throttle(item) for item in devices]
    return block


def _weight(item: WeightDevice) -> JsonObject:
    return {**_numbers(item.path), "weight": item.weight}


def _throttle(item: ThrottleDevice) -> JsonObject:
    return {**_numbers(item.path), "rate": item.rate}


def _numbers(path: str) -> JsonObject:
    try:
        device = os.stat(path).st_rdev
    except OSError as error:
        raise InvalidArgument(f"stat {path}: {os.strerror(error.errno or 0).lower()}") from error
    return {"major": os.major(device), "minor": os.minor(device)}


def check_ulimits(ulimits: Sequence[Ulimit]) -> None:
    """Raise InvalidArgument for an unknown name or a soft limit above the hard one."""
    for limit in ulimits:
        if limit.name not in _RLIMITS:
            raise InvalidArgument(f"invalid ulimit type: {limit.name}")
        if _value(limit.soft) > _value(limit.hard):
            raise InvalidArgument(
                "ulimit soft limit must be less than or equal to hard limit: "
                f"{limit.soft} > {limit.hard}"
            )


def rlimits(ulimits: Sequence[Ulimit]) -> list[JsonObject]:
    """Return OCI `process.rlimits`; a later entry of the same name wins."""
    by_name = {limit.name: limit for limit in ulimits}
    return [
        {
            "type": f"RLIMIT_{name.upper()}",
            "hard": _value(limit.hard),
            "soft": _value(limit.soft),
        }
        for name, limit in by_name.items()
    ]


def _value(limit: int) -> int:
    return _UNLIMITED if limit < 0 else limit
