"""Limits that the kernel does not have: left out with a warning in Docker's words, as Docker does.

Only where leaving one out would be a lie about how much a container may use is it an error.
"""

from collections.abc import Iterator

from tiffin.api.types.resources import Resources
from tiffin.errors import InvalidArgument
from tiffin.linux.cgroups.support import Support

_ABSENT = "or the cgroup is not mounted."
_THROTTLES = (
    ("blkio_device_read_bps", "read_bps", "BPS Block I/O read limit", "Block I/O BPS read limit"),
    ("blkio_device_write_bps", "write_bps", "BPS Block I/O write limit",
     "Block I/O BPS write limit"),
    ("blkio_device_read_iops", "read_iops", "IOPS Block read limit", "Block I/O IOPS read limit"),
    ("blkio_device_write_iops", "write_iops", "IOPS Block write limit",
     "Block I/O IOPS write limit"),
)  # fmt: skip


def discard_unsupported(wanted: Resources, support: Support) -> list[str]:
    """Take out of `wanted` what the kernel does not have; return a warning for each.

    InvalidArgument for `--cpus` and real-time limits, which Docker refuses.
    """
    if wanted.nano_cpus > 0 and not support.cpu_quota:
        raise InvalidArgument(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the"
            " cgroup is not mounted"
        )
    if (wanted.cpu_realtime_period or wanted.cpu_realtime_runtime) and not support.cpu_realtime:
        raise InvalidArgument("kernel does not support CPU real-time scheduler")
    return [
        f"Your kernel does not support {text}"
        for discard in (_memory, _pids, _cpu, _block_io)
        for text in discard(wanted, support)
    ]


def _memory(wanted: Resources, support: Support) -> Iterator[str]:
    if wanted.memory > 0 and not support.memory:
        wanted.memory, wanted.memory_swap = 0, -1
        yield f"memory limit capabilities {_ABSENT} Limitation discarded."
    if wanted.memory > 0 and wanted.memory_swap != -1 and not support.swap:
        wanted.memory_swap = -1
        yield f"swap limit capabilities {_ABSENT} Memory limited without swap."
    if wanted.memory_swappiness not in (None, -1) and not support.swappiness:
        wanted.memory_swappiness = None
        yield f"memory swappiness capabilities {_ABSENT} Memory swappiness discarded."
    if wanted.memory_reservation > 0 and not support.reservation:
        wanted.memory_reservation = 0
        yield f"memory soft limit capabilities {_ABSENT} Limitation discarded."
    if wanted.oom_kill_disable is not None and not support.oom_kill_disable:
        disabled, wanted.oom_kill_disable = wanted.oom_kill_disable, None
        if disabled:
            yield "OomKillDisable. OomKillDisable discarded."


def _pids(wanted: Resources, support: Support) -> Iterator[str]:
    if wanted.pids_limit is not None and not support.pids:
        limit, wanted.pids_limit = wanted.pids_limit, None
        if limit > 0:
            yield f"PIDs limit capabilities {_ABSENT} PIDs limit discarded."


def _cpu(wanted: Resources, support: Support) -> Iterator[str]:
    if wanted.cpu_shares > 0 and not support.cpu_shares:
        wanted.cpu_shares = 0
        yield f"CPU shares {_ABSENT} Shares discarded."
    if (wanted.cpu_period or wanted.cpu_quota) and not support.cpu_quota:
        wanted.cpu_period = wanted.cpu_quota = 0
        yield "CPU CFS scheduler. CPU period/quota discarded."
    if (wanted.cpuset_cpus or wanted.cpuset_mems) and not support.cpuset:
        wanted.cpuset_cpus = wanted.cpuset_mems = ""
        yield f"cpuset {_ABSENT} Cpuset discarded."


def _block_io(wanted: Resources, support: Support) -> Iterator[str]:
    if wanted.blkio_weight > 0 and not support.io_weight:
        wanted.blkio_weight = 0
        yield f"Block I/O weight {_ABSENT} Weight discarded."
    if wanted.blkio_weight_device and not support.io_weight_device:
        wanted.blkio_weight_device = []
        yield f"Block I/O weight_device {_ABSENT} Weight-device discarded."
    for member, flag, lacking, discarded in _THROTTLES:
        if getattr(wanted, member) and not getattr(support, flag):
            setattr(wanted, member, [])
            yield f"{lacking} {_ABSENT} {discarded} discarded."
