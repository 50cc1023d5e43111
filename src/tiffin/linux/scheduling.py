"""Scheduling of processes and of their reading and writing; few containers need it."""

import ctypes

from tiffin.linux.abi import invoke

_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13


class sched_attr(ctypes.Structure):
    """`struct sched_attr` of sched_setattr(2), as it first was."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    )


def sched_setattr(
    policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> None:
    """Schedule the calling thread that way; OSError."""
    attr = sched_attr(
        ctypes.sizeof(sched_attr), policy, flags, nice, priority, runtime, deadline, period
    )
    invoke("sched_setattr", "sched_setattr", 0, ctypes.byref(attr), 0)


def ioprio_set(class_: int, level: int) -> None:
    """Give the calling thread that priority of reading and writing; OSError."""
    value = class_ << _IOPRIO_CLASS_SHIFT | level
    invoke("ioprio_set", "ioprio_set", _IOPRIO_WHO_PROCESS, 0, value)


def personality(domain: int) -> None:
    """Set the execution domain of the calling process; OSError."""
    invoke("personality", "personality", domain)
