"""What the builder needs of whoever runs RUN's processes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tiffin.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits and host entries of a whole build; 0 and "" mean the default. Sizes in bytes."""

    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    cpu_period: int = 0
    cpu_quota: int = 0
    shm_size: int = 0
    ulimits: tuple[tuple[str, int, int], ...] = ()
    """(name, soft, hard)."""
    extra_hosts: tuple[str, ...] = ()
    """`name:address`."""
    cgroup_parent: str = ""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One process to run in a root file system that is given as mounts.

    `mounts` are extra ones, their targets absolute paths inside. `network` is `default`, `none`,
    `host`, `container:<id>` or the name of a network.
    """

    id: str
    rootfs: tuple[Mount, ...]
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    working_dir: str = "/"
    user: str = ""
    network: str = "default"
    insecure: bool = False
    mounts: tuple[Mount, ...] = ()
    limits: RunLimits = field(default_factory=RunLimits)


Output = Callable[[bytes], None]
"""Takes what the process writes to stdout and stderr, in order; called in any one thread."""


class Executor(Protocol):
    """Runs one process at a time per call; calls come from several threads."""

    def run(self, request: RunRequest, output: Output, cancelled: "Cancellation") -> int:
        """Run to the end and return the exit code (128+n for signal n).

        Cancelled once `cancelled` is set, with the process gone; FailedPrecondition if it cannot be
        started. Nothing of it is left in either case.
        """


class Cancellation(Protocol):
    """Whether the build is to stop."""

    def check(self) -> None:
        """Raise Cancelled if so."""

    def subscribe(self, stop: Callable[[], None]) -> Callable[[], None]:
        """Have `stop` called, at once if it is too late, in any thread; return the opposite."""
