"""Checks of the limits that a client asks for, with Docker's wording."""

import os
import re

from tiffin.api.types.resources import Resources
from tiffin.engine.bundle.devices import check_mapping, parse_rules
from tiffin.engine.bundle.resources import check_ulimits, rlimits
from tiffin.engine.bundle.unsupported import discard_unsupported
from tiffin.errors import InvalidArgument
from tiffin.linux.cgroups.support import EVERYTHING, Support
from tiffin.linux.rlimits import Rlimit, foretell

MINIMUM_MEMORY = 6 * 1024 * 1024
LARGEST = 2**63 - 1
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)
_MAX_CPU_NUMBER = 8192
_LEAST_NANO_CPUS = 10_000_000
_MIN_QUOTA_US = 1_000
_MAX_QUOTA_US = (1 << 44) - 1
"""The kernel's `max_bw_runtime_us`, the same in both versions of control groups."""
_MAX_PIDS = 4 * 1024 * 1024
"""The kernel's PID_MAX_LIMIT; pids.max takes nothing above it but `max`."""


def check_resources(
    wanted: Resources, support: Support = EVERYTHING, *, update: bool = False
) -> list[str]:
    """Return warnings; InvalidArgument says which limit cannot be meant.

    What the kernel does not have is taken out of `wanted`, and warned about.
    """
    if wanted.memory and wanted.memory < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if wanted.memory_swappiness == -1:  # how clients spell "not given"
        wanted.memory_swappiness = None
    discarded = discard_unsupported(wanted, support)
    _check_memory(wanted, update=update)
    _check_cpu(wanted)
    _check_realtime(wanted)
    _check_cpusets(wanted, support)
    _check_block_io(wanted)
    if wanted.pids_limit is not None and wanted.pids_limit > _MAX_PIDS:
        raise InvalidArgument(
            f"invalid PIDs limit ({wanted.pids_limit}): the kernel's largest is {_MAX_PIDS}"
        )
    check_ulimits(wanted.ulimits or ())
    parse_rules(wanted.device_cgroup_rules or ())
    for device in wanted.devices or ():
        check_mapping(device)
    return [*discarded, *_warnings(wanted), *_ungranted(wanted)]


def _ungranted(wanted: Resources) -> list[str]:
    limits = (
        Rlimit(item["type"], item["soft"], item["hard"]) for item in rlimits(wanted.ulimits or ())
    )
    return [warning for limit in limits if (warning := foretell(limit))]


def _check_memory(wanted: Resources, *, update: bool) -> None:
    memory, swap, reservation = wanted.memory, wanted.memory_swap, wanted.memory_reservation
    if max(memory, swap, reservation) > LARGEST:
        raise InvalidArgument(f"invalid memory limit: {max(memory, swap, reservation)}")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    if not memory and swap > 0 and not update:
        raise InvalidArgument(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    swappiness = wanted.memory_swappiness
    if swappiness is not None and not 0 <= swappiness <= 100:
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
    # Below 0.01 the quota would be less than the kernel's shortest, 1 ms.
    if wanted.nano_cpus and not _LEAST_NANO_CPUS <= wanted.nano_cpus <= count * 1_000_000_000:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available"
        )
    if wanted.cpu_shares < 0:
        raise InvalidArgument(
            f"invalid CPU shares ({wanted.cpu_shares}): value must be a positive integer"
        )
    if wanted.cpu_period and not 1_000 <= wanted.cpu_period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < wanted.cpu_quota < _MIN_QUOTA_US:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if wanted.cpu_quota > _MAX_QUOTA_US:
        raise InvalidArgument(f"CPU cfs quota can not be larger than {_MAX_QUOTA_US}")


def _check_realtime(wanted: Resources) -> None:
    period, runtime = wanted.cpu_realtime_period, wanted.cpu_realtime_runtime
    if period and runtime and runtime > period:
        raise InvalidArgument("cpu real-time runtime cannot be higher than cpu real-time period")
    for what, value in (("period", period), ("runtime", runtime)):
        if not 0 <= value <= _MAX_QUOTA_US:
            raise InvalidArgument(f"invalid CPU real-time {what}: {value}")


def _check_cpusets(wanted: Resources, support: Support) -> None:
    cpus = support.cpus or f"0-{(os.cpu_count() or 1) - 1}"
    mems = support.mems or "0"
    if wanted.cpuset_cpus and not _is_part(wanted.cpuset_cpus, cpus, "cpus"):
        raise InvalidArgument(
            f"Requested CPUs are not available - requested {wanted.cpuset_cpus}, available: {cpus}"
        )
    if wanted.cpuset_mems and not _is_part(wanted.cpuset_mems, mems, "mems"):
        raise InvalidArgument(
            f"Requested memory nodes are not available - requested {wanted.cpuset_mems},"
            f" available: {mems}"
        )


def _is_part(asked: str, available: str, what: str) -> bool:
    return _parse_list(asked, what) <= _parse_list(available, what)


def _parse_list(text: str, what: str) -> set[int]:
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise InvalidArgument(f"Invalid value {text} for cpuset {what}: invalid format: {text}")
        low, high = int(match[1]), int(match[2] or match[1])
        if high > _MAX_CPU_NUMBER:
            raise InvalidArgument(
                f"Invalid value {text} for cpuset {what}: value of out range, maximum is"
                f" {_MAX_CPU_NUMBER}"
            )
        numbers.update(range(low, high + 1))
    return numbers


def _check_block_io(wanted: Resources) -> None:
    if wanted.blkio_weight and not 10 <= wanted.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    for item in wanted.blkio_weight_device or ():
        if item.weight and not 10 <= item.weight <= 1000:
            raise InvalidArgument(f"invalid weight for device: {item.path}:{item.weight}")
    for device in (
        *(wanted.blkio_device_read_bps or ()),
        *(wanted.blkio_device_write_bps or ()),
        *(wanted.blkio_device_read_iops or ()),
        *(wanted.blkio_device_write_iops or ()),
    ):
        if not 0 <= device.rate <= LARGEST:
            raise InvalidArgument(f"invalid rate for device: {device.path}:{device.rate}")
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
