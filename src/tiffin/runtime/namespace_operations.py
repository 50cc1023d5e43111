"""Operations on cgroup membership, namespaces and what belongs to a namespace as a whole."""

import os
from dataclasses import dataclass

from tiffin.linux import namespaces, syscalls
from tiffin.linux.cgroups.group import write
from tiffin.linux.namespaces import KINDS
from tiffin.runtime.operation import Failed, Place

_KEYCTL_JOIN_SESSION_KEYRING = 1


@dataclass(frozen=True, slots=True)
class JoinCgroups:
    """Enter the container's groups by their `tasks` files."""

    files: tuple[str, ...]

    def describe(self) -> str:
        """See `Operation`."""
        return "enter the container's control groups, so that all its limits hold from now on"

    def call(self) -> str:
        """See `Operation`."""
        return "; ".join(f'write("{file}", "0")' for file in self.files)

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        for file in self.files:
            write(file, "0")


@dataclass(frozen=True, slots=True)
class AwaitParent:
    """Let the parent catch up, which makes the control groups meanwhile."""

    def describe(self) -> str:
        """See `Operation`."""
        return "wait until the control groups stand"

    def call(self) -> str:
        """See `Operation`."""
        return "recvmsg(parent)"

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        place.await_parent()


@dataclass(frozen=True, slots=True)
class JoinNamespace:
    """Enter an existing namespace by its file."""

    kind: str
    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"share the {self.kind} namespace of {self.path}"

    def call(self) -> str:
        """See `Operation`."""
        return f'setns(open("{self.path}"), CLONE_NEW{_FLAG_NAMES[self.kind]})'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            namespaces.join(self.path, KINDS[self.kind])
        except OSError as error:
            raise Failed(f"cannot join the {self.kind} namespace {self.path}: {error}") from None


@dataclass(frozen=True, slots=True)
class Unshare:
    """Make namespaces that can only be made after others were joined or groups entered."""

    kinds: tuple[str, ...]

    def describe(self) -> str:
        """See `Operation`."""
        return f"make a new {' and '.join(self.kinds)} namespace"

    def call(self) -> str:
        """See `Operation`."""
        return f"unshare({' | '.join(f'CLONE_NEW{_FLAG_NAMES[kind]}' for kind in self.kinds)})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        syscalls.unshare(sum(KINDS[kind].flag for kind in self.kinds))


@dataclass(frozen=True, slots=True)
class BecomeRoot:
    """Take on uid and gid 0 of the user namespace, without the host's groups."""

    def describe(self) -> str:
        """See `Operation`."""
        return "become root of the container's user namespace"

    def call(self) -> str:
        """See `Operation`."""
        return "setgroups({}); setresgid(0, 0, 0); setresuid(0, 0, 0)"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        if os.getgroups():
            os.setgroups(())
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


@dataclass(frozen=True, slots=True)
class RaiseLoopback:
    """Bring up `lo`."""

    def describe(self) -> str:
        """See `Operation`."""
        return "bring up the loopback interface of the new network namespace"

    def call(self) -> str:
        """See `Operation`."""
        return 'ioctl(socket, SIOCSIFFLAGS, {"lo", IFF_UP})'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        namespaces.raise_loopback()


@dataclass(frozen=True, slots=True)
class SetHostName:
    """Name the UTS namespace."""

    name: str
    domain: bool = False

    def describe(self) -> str:
        """See `Operation`."""
        return f"set the {'NIS domain' if self.domain else 'host'} name to {self.name}"

    def call(self) -> str:
        """See `Operation`."""
        return f'set{"domain" if self.domain else "host"}name("{self.name}")'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        (syscalls.setdomainname if self.domain else syscalls.sethostname)(self.name)


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Set a kernel parameter of the new namespaces, through the host's /proc.

    That /proc is the real one, whatever the image holds, and shows the caller's namespaces.
    """

    name: str
    value: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"set the kernel parameter {self.name} of the container's namespaces"

    def call(self) -> str:
        """See `Operation`."""
        return f'write("{sysctl_path(self.name)}", "{self.value}")'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            write(sysctl_path(self.name), self.value)
        except OSError as error:
            raise Failed(f"cannot set sysctl {self.name}={self.value}: {error}") from None


def sysctl_path(name: str) -> str:
    """Return the file of a kernel parameter, as sysctl(8) takes its name.

    With a slash first, dots belong to names (`net/ipv4/conf/eth0.1/forwarding`).
    """
    dot, slash = name.find("."), name.find("/")
    if slash >= 0 and (dot < 0 or slash < dot):
        return f"/proc/sys/{name}"
    return f"/proc/sys/{name.translate(_SWAPPED)}"


_SWAPPED = str.maketrans("./", "/.")


@dataclass(frozen=True, slots=True)
class SetTimeOffsets:
    """Shift the clocks of a time namespace that nobody has entered yet (time_namespaces(7))."""

    offsets: tuple[tuple[str, int, int], ...]

    def describe(self) -> str:
        """See `Operation`."""
        return f"shift the clocks {' and '.join(clock for clock, _, _ in self.offsets)}"

    def call(self) -> str:
        """See `Operation`."""
        return f'write("/proc/self/timens_offsets", "{self._lines()}")'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            write("/proc/self/timens_offsets", self._lines())
        except OSError as error:
            raise Failed(f"cannot set time namespace offsets: {error}") from None

    def _lines(self) -> str:
        return "".join(
            f"{clock} {seconds} {nanoseconds}\n" for clock, seconds, nanoseconds in self.offsets
        )


@dataclass(frozen=True, slots=True)
class SetOomScore:
    """Say how readily the kernel kills the process for want of memory."""

    adjustment: int

    def describe(self) -> str:
        """See `Operation`."""
        return f"set the out-of-memory score adjustment to {self.adjustment}"

    def call(self) -> str:
        """See `Operation`."""
        return f'write("/proc/self/oom_score_adj", "{self.adjustment}")'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        try:
            write("/proc/self/oom_score_adj", str(self.adjustment))
        except PermissionError:  # lowering it needs CAP_SYS_RESOURCE
            place.warn(f"oom_score_adj {self.adjustment}: the host does not grant it")


@dataclass(frozen=True, slots=True)
class NewKeyring:
    """Leave the host's session keyring."""

    name: str

    def describe(self) -> str:
        """See `Operation`."""
        return "leave the host's session keyring for a new one"

    def call(self) -> str:
        """See `Operation`."""
        return f'keyctl(KEYCTL_JOIN_SESSION_KEYRING, "{self.name}")'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            syscalls.keyctl(_KEYCTL_JOIN_SESSION_KEYRING, self.name.encode())
        except OSError as error:
            if error.errno != 38:  # ENOSYS: a kernel without keyrings has nothing to leave
                raise Failed(f"cannot join a new session keyring: {error.strerror}") from None


_FLAG_NAMES = {
    "user": "USER", "mount": "NS", "pid": "PID", "uts": "UTS", "ipc": "IPC", "network": "NET",
    "cgroup": "CGROUP", "time": "TIME",
}  # fmt: skip
