"""How the kernel schedules a process (config.md, "Linux Process"; config-linux.md, "Personality").

`process.scheduler`, `ioPriority`, `execCPUAffinity`, and `linux.personality`.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

from tiffin.errors import InvalidArgument
from tiffin.linux import scheduling
from tiffin.runtime.executable import lowered
from tiffin.runtime.operation import Failed, Operation, Place

POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4,
    "SCHED_IDLE": 5, "SCHED_DEADLINE": 6,
}  # fmt: skip
FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}


@dataclass(frozen=True, slots=True)
class SetScheduler:
    """Policy, niceness and what else sched_setattr(2) takes; times in nanoseconds."""

    policy: str
    flags: tuple[str, ...] = ()
    nice: int = 0
    priority: int = 0
    runtime_ns: int = 0
    deadline_ns: int = 0
    period_ns: int = 0

    def describe(self) -> str:
        """See `Operation`."""
        return f"have the process scheduled by {self.policy}"

    def call(self) -> str:
        """See `Operation`."""
        return f"sched_setattr(0, {{{self.policy}, nice {self.nice}, priority {self.priority}}})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        bits = sum(FLAGS[word] for word in self.flags)
        try:
            scheduling.sched_setattr(
                POLICIES[self.policy], bits, self.nice, self.priority,
                self.runtime_ns, self.deadline_ns, self.period_ns,
            )  # fmt: skip
        except OSError as error:
            if error.errno == errno.EPERM and self.policy == "SCHED_DEADLINE":
                raise Failed("process scheduler can't be used together with AllowedCPUs") from None
            raise Failed(f"error setting scheduler: {lowered(error)}") from None


@dataclass(frozen=True, slots=True)
class SetIoPriority:
    """Class and level by which the process reads and writes."""

    name: str
    priority: int = 0

    def describe(self) -> str:
        """See `Operation`."""
        return f"have the process read and write as {self.name} {self.priority}"

    def call(self) -> str:
        """See `Operation`."""
        return f"ioprio_set(IOPRIO_WHO_PROCESS, 0, {self.name} | {self.priority})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            scheduling.ioprio_set(IO_CLASSES[self.name], self.priority)
        except OSError as error:
            raise Failed(f"failed to set io priority: {lowered(error)}") from None


@dataclass(frozen=True, slots=True)
class SetAffinity:
    """The processors that the process may run on."""

    cpus: frozenset[int]

    def describe(self) -> str:
        """See `Operation`."""
        return f"run on the processors {sorted(self.cpus)}"

    def call(self) -> str:
        """See `Operation`."""
        return f"sched_setaffinity(0, {sorted(self.cpus)})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            os.sched_setaffinity(0, self.cpus)
        except (OSError, ValueError) as error:
            raise Failed(f"error setting CPU affinity: {error}") from None


@dataclass(frozen=True, slots=True)
class SetPersonality:
    """The execution domain (personality(2))."""

    domain: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"execute programs in the domain {self.domain}"

    def call(self) -> str:
        """See `Operation`."""
        return f"personality(PER_{self.domain})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        scheduling.personality(PERSONALITIES[self.domain])


def scheduler(policy: str, flags: Sequence[str], numbers: Sequence[int]) -> Operation:
    """Return the operation; `numbers` are nice, priority, runtime, deadline, period."""
    if policy not in POLICIES:
        raise InvalidArgument(f"process.scheduler.policy: unknown policy {policy!r}")
    unknown = [word for word in flags if word not in FLAGS]
    if unknown:
        raise InvalidArgument(f"process.scheduler.flags: unknown flag {unknown[0]!r}")
    nice, priority = numbers[:2]
    if policy in ("SCHED_OTHER", "SCHED_BATCH") and not -20 <= nice <= 19:
        raise InvalidArgument(f"process.scheduler.nice: {nice} is not between -20 and 19")
    if priority and policy not in ("SCHED_FIFO", "SCHED_RR"):
        raise InvalidArgument(
            "process.scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR policy"
        )
    if any(numbers[2:]) and policy != "SCHED_DEADLINE":
        raise InvalidArgument(
            "process.scheduler runtime, deadline and period can only be specified for "
            "SCHED_DEADLINE policy"
        )
    return SetScheduler(policy, tuple(flags), *numbers)


def io_priority(name: str, priority: int) -> Operation:
    """Return the operation; InvalidArgument."""
    if name not in IO_CLASSES:
        raise InvalidArgument(f"process.ioPriority.class: unknown class {name!r}")
    if not 0 <= priority <= 7:
        raise InvalidArgument(f"process.ioPriority.priority: {priority} is not between 0 and 7")
    return SetIoPriority(name, priority)


def personality(domain: str, flags: Sequence[str]) -> Operation:
    """Return the operation; InvalidArgument."""
    if domain not in PERSONALITIES:
        raise InvalidArgument(f"linux.personality.domain: invalid domain {domain!r}")
    if flags:
        raise InvalidArgument("linux.personality.flags: none are known")
    return SetPersonality(domain)


def affinity(text: str, name: str) -> Operation:
    """Return the operation for a list such as `0-3,7`; InvalidArgument names the member."""
    cpus: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            found = range(int(first), int(last or first) + 1)
            if not found or found[0] < 0 or found[-1] >= 1 << 16:
                raise ValueError(part)
            cpus.update(found)
    except ValueError:
        raise InvalidArgument(f"{name}: invalid list of CPUs {text!r}") from None
    return SetAffinity(frozenset(cpus))
