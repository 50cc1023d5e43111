"""Checks of the limits that a client asks for, with Docker's wording."""

import os
from pathlib import Path

from tiffin.api.types.resources import Resources
from tiffin.engine.bundle.devices import check_mapping, parse_rules
from tiffin.engine.bundle.resources import check_ulimits, rlimits
from tiffin.errors import InvalidArgument
from tiffin.linux.rlimits import Rlimit, foretell

MINIMUM_MEMORY = 6 * 1024 * 1024
_ONLINE_NODES = Path("/sys/devices/system/node/online")
_MAX_CPU_NUMBER = 8192


def check_resources(wanted: Resources, *, update: bool = False) -> list[str]:
    """Return warnings; InvalidArgument says which limit cannot be meant."""
    _check_memory(wanted, update=update)
    _check_cpu(wanted)
    _check_cpusets(wanted)
    _check_block_io(wanted)
    check_ulimits(wanted.ulimits or ())
    parse_rules(wanted.device_cgroup_rules or ())
    for device in wanted.devices or ():
        check_mapping(device)
    return [*_warnings(wanted), *_ungranted(wanted)]


def _ungranted(wanted: Resources) -> list[str]:
    limits = (
        Rlimit(item["type"], item["soft"], item["hard"]) for item in rlimits(wanted.ulimits or ())
    )
    return [warning for limit in limits if (warning := foretell(limit))]


def _check_memory(wanted: Resources, *, update: bool) -> None:
    memory, swap, reservation = wanted.memory, wanted.memory_swap, wanted.memory_reservation
    if memory and memory < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if not memory and swap > 0 and not update:
        raise InvalidArgument(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    swappiness = wanted.memory_swappiness
    if swappiness is not None and swappiness != -1 and not 0 <= swappiness <= 100:
        raise InvalidArgument(
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )
    if 0 < reservation < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise InvalidArgument(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(wanted: Resources) -> None:
    if wanted.nano_cpus > 0 and wanted.cpu_period > 0:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if wanted.nano_cpus > 0 and wanted.cpu_quota > 0:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    count = os.cpu_count() or 1
    if not 0 <= wanted.nano_cpus <= count * 1_000_000_000:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if wanted.cpu_shares < 0:
        raise InvalidArgument(f"invalid CPU shares ({wanted.cpu_shares}): value must be a positive")
    if wanted.cpu_period and not 1_000 <= wanted.cpu_period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < wanted.cpu_quota < 1_000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")


def _check_cpusets(wanted: Resources) -> None:
    if wanted.cpuset_cpus:
        asked = _parse_list(wanted.cpuset_cpus, "cpus")
        online = os.sched_getaffinity(0) | set(range(os.cpu_count() or 1))
        if not asked <= online:
            available = ",".join(str(number) for number in sorted(online))
            raise InvalidArgument(
                f"Requested CPUs are not available - requested {wanted.cpuset_cpus}, "
                f"available: {available}"
            )
    if wanted.cpuset_mems:
        asked = _parse_list(wanted.cpuset_mems, "mems")
        text = _ONLINE_NODES.read_text().strip() if _ONLINE_NODES.exists() else "0"
        if not asked <= _parse_list(text, "mems"):
            raise InvalidArgument(
                "Requested memory nodes are not available - requested "
                f"{wanted.cpuset_mems}, available: {text}"
            )


def _parse_list(text: str, what: str) -> set[int]:
    numbers: set[int] = set()
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            low, high = int(first), int(last if dash else first)
            if not 0 <= low <= high < _MAX_CPU_NUMBER:
                raise ValueError(part)
            numbers.update(range(low, high + 1))
    except ValueError as error:
        raise InvalidArgument(f"Invalid value {text} for cpuset {what}") from error
    return numbers


def _check_block_io(wanted: Resources) -> None:
    if wanted.blkio_weight and not 10 <= wanted.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    if wanted.io_maximum_bandwidth or wanted.io_maximum_iops:
        raise InvalidArgument(
            "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps"
        )


def _warnings(wanted: Resources) -> list[str]:
    warnings = []
    if wanted.oom_kill_disable and not wanted.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result"
            " in the system running out of resources."
        )
    if wanted.cpu_percent:
        warnings.append("linux does not support CPU percent. Percent discarded.")
    return warnings
