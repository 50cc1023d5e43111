"""Operations that turn the child into a process of its own: signals, terminal, limits, directory.

They run inside the container's root, in the order of the planner.
"""

import os
import signal
import stat
from dataclasses import dataclass

from tiffin.linux import pty, rlimits
from tiffin.linux.cgroups.group import write
from tiffin.linux.rlimits import Rlimit
from tiffin.runtime.executable import lowered
from tiffin.runtime.operation import Failed, Place

DEFAULT_UMASK = 0o022
_NULL_DEVICE = os.makedev(1, 3)


@dataclass(frozen=True, slots=True)
class ResetSignals:
    """Give every signal its default action and let all through."""

    def describe(self) -> str:
        """See `Operation`."""
        return "give every signal its default action"

    def call(self) -> str:
        """See `Operation`."""
        return "sigaction(…, SIG_DFL); sigprocmask(SIG_SETMASK, {})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if signal.getsignal(number) is not signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


@dataclass(frozen=True, slots=True)
class NewSession:
    """Leave the session of whoever started this, and with it any terminal of the host."""

    def describe(self) -> str:
        """See `Operation`."""
        return "start a session of its own"

    def call(self) -> str:
        """See `Operation`."""
        return "setsid()"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        os.setsid()


@dataclass(frozen=True, slots=True)
class ControlTerminal:
    """Make the terminal on stdin the controlling one."""

    def describe(self) -> str:
        """See `Operation`."""
        return "make the terminal the controlling one, so that ^C and job control work"

    def call(self) -> str:
        """See `Operation`."""
        return "ioctl(0, TIOCSCTTY)"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        pty.make_controlling(0)


@dataclass(frozen=True, slots=True)
class OwnStdio:
    """Let the user open /dev/stdout and its like again; /dev/null becomes the container's."""

    uid: int

    def describe(self) -> str:
        """See `Operation`."""
        return f"give stdin, stdout and stderr to user {self.uid}"

    def call(self) -> str:
        """See `Operation`."""
        return "; ".join(f"fchown({fd}, {self.uid}, -1)" for fd in range(3))

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        for fd in range(3):
            status = os.fstat(fd)
            is_null = stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE
            if is_null:
                _take_null(fd)
                continue
            if status.st_uid == self.uid:
                continue
            try:
                os.fchown(fd, self.uid, -1)
            except OSError:
                # Sockets and read-only files cannot change hands; then /dev/stdout stays shut.
                continue


def _take_null(fd: int) -> None:
    """Put the container's own null device in the place of the host's, if it is one."""
    try:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    status = os.fstat(null)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE:
        os.set_blocking(null, True)
        os.dup2(null, fd, inheritable=True)
    os.close(null)


@dataclass(frozen=True, slots=True)
class SetRlimit:
    """One resource limit, lowered to what the host grants."""

    limit: Rlimit

    def describe(self) -> str:
        """See `Operation`."""
        return f"limit {self.limit.name} to {self.limit.soft}:{self.limit.hard}"

    def call(self) -> str:
        """See `Operation`."""
        return f"setrlimit({self.limit.name}, {{{self.limit.soft}, {self.limit.hard}}})"

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        try:
            warning = rlimits.apply(self.limit)
        except ValueError as error:
            raise Failed(f"error setting rlimits: {error}") from None
        if warning:
            place.warn(warning)


@dataclass(frozen=True, slots=True)
class SetLabel:
    """Have the kernel's security module confine the program that is executed."""

    module: str
    label: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"confine the program by {self.module} as {self.label}"

    def call(self) -> str:
        """See `Operation`."""
        return f'write("{self._path}", "{self._value}")'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        if not os.path.exists(_MODULES[self.module]):
            raise Failed(
                f"{self.module} label {self.label!r} was asked for, but is not enabled here"
            )
        try:
            write(self._path, self._value)
        except OSError as error:
            raise Failed(f"unable to apply {self.module} label {self.label!r}: {error}") from None

    @property
    def _path(self) -> str:
        if self.module == "apparmor" and os.path.exists("/proc/self/attr/apparmor/exec"):
            return "/proc/self/attr/apparmor/exec"
        return "/proc/self/attr/exec"

    @property
    def _value(self) -> str:
        return f"exec {self.label}" if self.module == "apparmor" else self.label


_MODULES = {"apparmor": "/sys/kernel/security/apparmor", "selinux": "/sys/fs/selinux/enforce"}


@dataclass(frozen=True, slots=True)
class ChangeDirectory:
    """Go to the working directory; with `last`, see that it lies inside the container."""

    path: str
    last: bool = False

    def describe(self) -> str:
        """See `Operation`."""
        if self.last:
            return "see that the working directory lies inside the container"
        return f"go to the working directory {self.path}"

    def call(self) -> str:
        """See `Operation`."""
        return "getcwd()" if self.last else f'chdir("{self.path}")'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            if not self.last or not _is_inside():
                os.chdir(self.path)
        except PermissionError as error:
            if self.last:  # root may not (NFS); the user gets a second try
                raise self._failed(error) from None
            return
        except OSError as error:
            raise self._failed(error) from None
        if self.last and not _is_inside():
            # A directory of the host that was left open leads out of any root (CVE-2024-21626).
            raise Failed(
                "current working directory is outside of container mount namespace root "
                "-- possible container breakout detected"
            )

    def _failed(self, error: OSError) -> Failed:
        return Failed(f'chdir to cwd ("{self.path}") set in config.json failed: {lowered(error)}')


def _is_inside() -> bool:
    try:
        return os.getcwd().startswith("/")
    except FileNotFoundError:
        return False


@dataclass(frozen=True, slots=True)
class SetUmask:
    """The mask of new files' modes."""

    mask: int

    def describe(self) -> str:
        """See `Operation`."""
        return f"set the file mode creation mask to {self.mask:04o}"

    def call(self) -> str:
        """See `Operation`."""
        return f"umask({self.mask:04o})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        os.umask(self.mask)
