"""System calls that Python's `os` lacks, with the kernel's names for calls and constants.

Each encodes, calls, and raises OSError(errno, text, path); no policy. All descriptors that are
returned are close-on-exec. Those about mounts live in `mount_api` and can be had from here, too.
"""

import ctypes
import fcntl
import os

from tiffin.linux import mount_api
from tiffin.linux.abi import encode, invoke

Path = str | bytes | os.PathLike[str]

AT_EMPTY_PATH = mount_api.AT_EMPTY_PATH
AT_FDCWD = mount_api.AT_FDCWD
AT_RECURSIVE = mount_api.AT_RECURSIVE
AT_SYMLINK_NOFOLLOW = mount_api.AT_SYMLINK_NOFOLLOW
MNT_DETACH = mount_api.MNT_DETACH
MOVE_MOUNT_F_EMPTY_PATH = mount_api.MOVE_MOUNT_F_EMPTY_PATH
MOVE_MOUNT_T_EMPTY_PATH = mount_api.MOVE_MOUNT_T_EMPTY_PATH
OPEN_TREE_CLOEXEC = mount_api.OPEN_TREE_CLOEXEC
OPEN_TREE_CLONE = mount_api.OPEN_TREE_CLONE
fsconfig = mount_api.fsconfig
fsmount = mount_api.fsmount
fsopen = mount_api.fsopen
mount = mount_api.mount
mount_setattr = mount_api.mount_setattr
move_mount = mount_api.move_mount
open_tree = mount_api.open_tree
pivot_root = mount_api.pivot_root
umount2 = mount_api.umount2

CLONE_NEWTIME = 0x80
CLONE_PIDFD = 0x1000
CLONE_PARENT = 0x8000
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_CHILD_SETTID = 0x1000000
CLONE_INTO_CGROUP = 0x200000000
CLONE_CLEAR_SIGHAND = 0x100000000

RESOLVE_NO_XDEV = 0x1
RESOLVE_NO_MAGICLINKS = 0x2
RESOLVE_NO_SYMLINKS = 0x4
RESOLVE_BENEATH = 0x8
RESOLVE_IN_ROOT = 0x10
RESOLVE_CACHED = 0x20

CLOSE_RANGE_UNSHARE = 0x2
CLOSE_RANGE_CLOEXEC = 0x4

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_GET_TID_ADDRESS = 40
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_GET_ACTION_AVAIL = 2
SECCOMP_FILTER_FLAG_TSYNC = 0x1
SECCOMP_FILTER_FLAG_LOG = 0x2
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 0x4
SECCOMP_FILTER_FLAG_NEW_LISTENER = 0x8
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 0x20

_LINUX_CAPABILITY_VERSION_3 = 0x20080522


class clone_args(ctypes.Structure):
    """`struct clone_args` of clone3(2)."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("pidfd", ctypes.c_uint64),
        ("child_tid", ctypes.c_uint64),
        ("parent_tid", ctypes.c_uint64),
        ("exit_signal", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("stack_size", ctypes.c_uint64),
        ("tls", ctypes.c_uint64),
        ("set_tid", ctypes.c_uint64),
        ("set_tid_size", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
    )


class open_how(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class sock_filter(ctypes.Structure):
    """One instruction of classic BPF."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class sock_fprog(ctypes.Structure):
    """`struct sock_fprog` of seccomp(2)."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class _cap_header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _cap_data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def clone3(flags: int, *, exit_signal: int = 0, cgroup: int = -1) -> tuple[int, int]:
    """Fork into new namespaces; (0, -1) in the child, (pid, pidfd) in the parent.

    Behaves as os.fork() for the interpreter, so the caller must be single-threaded. `cgroup` is a
    descriptor of a v2 directory that the child is born in. `exit_signal` 0 makes no SIGCHLD (the
    child is then waited for with __WALL or by pidfd).
    """
    pidfd = ctypes.c_int(-1)
    args = clone_args(flags=flags | CLONE_PIDFD, exit_signal=exit_signal)
    args.pidfd = ctypes.addressof(pidfd)
    if cgroup >= 0:
        args.flags |= CLONE_INTO_CGROUP
        args.cgroup = cgroup
    # glibc keeps the thread id in memory (raise(3), mutex owners); fork(3) would refresh it.
    tid = _tid_address()
    if tid:
        args.flags |= CLONE_CHILD_SETTID
        args.child_tid = tid
    ctypes.pythonapi.PyOS_BeforeFork()
    try:
        pid = invoke("clone3", "clone3", ctypes.byref(args), ctypes.sizeof(args))
    except OSError:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        raise
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0, -1
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid, pidfd.value


def _tid_address() -> int:
    address = ctypes.c_uint64(0)
    try:
        prctl(PR_GET_TID_ADDRESS, ctypes.addressof(address))
    except OSError:  # needs CONFIG_CHECKPOINT_RESTORE
        return 0
    return address.value


def unshare(flags: int) -> None:
    """Move the caller into new namespaces."""
    invoke("unshare", "unshare", flags)


def setns(fd: int, nstype: int, name: Path = "setns") -> None:
    """Join namespaces: `fd` is one (nstype 0 or its kind) or a pidfd (nstype a set of kinds)."""
    invoke(name, "setns", fd, nstype)


def openat2(dir_fd: int, path: Path, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open with resolution flags; O_CLOEXEC is added."""
    how = open_how(flags | os.O_CLOEXEC, mode, resolve)
    size = ctypes.sizeof(how)
    return invoke(path, "openat2", dir_fd, encode(path), ctypes.byref(how), size)


def prctl(option: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
    """Control this thread; integers only."""
    return invoke("prctl", "prctl", option, a, b, c, d)


def capget(pid: int = 0) -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable sets as bit masks."""
    header, data = _cap_header(_LINUX_CAPABILITY_VERSION_3, pid), (_cap_data * 2)()
    invoke("capget", "capget", ctypes.byref(header), ctypes.byref(data))
    low, high = data
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's capability sets from bit masks."""
    low = _cap_data(*(mask & 0xFFFFFFFF for mask in (effective, permitted, inheritable)))
    high = _cap_data(*(mask >> 32 for mask in (effective, permitted, inheritable)))
    header, data = _cap_header(_LINUX_CAPABILITY_VERSION_3, 0), (_cap_data * 2)(low, high)
    invoke("capset", "capset", ctypes.byref(header), ctypes.byref(data))


def seccomp(program: bytes, flags: int = 0) -> int:
    """Load a filter: `program` is an array of `struct sock_filter`.

    Returns the listener's descriptor with SECCOMP_FILTER_FLAG_NEW_LISTENER.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = sock_fprog(len(program) // ctypes.sizeof(sock_filter), ctypes.addressof(buffer))
    return invoke("seccomp", "seccomp", SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(fprog))


def pidfd_open(pid: int) -> int:
    """Return a descriptor of the process."""
    return invoke(f"pid {pid}", "pidfd_open", pid, 0)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """Signal the process."""
    invoke("pidfd_send_signal", "pidfd_send_signal", pidfd, signal, None, 0)


def pidfd_getfd(pidfd: int, target_fd: int) -> int:
    """Return a duplicate of another process's descriptor."""
    return invoke("pidfd_getfd", "pidfd_getfd", pidfd, target_fd, 0)


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close descriptors, both ends included."""
    invoke("close_range", "close_range", first, last, flags)


def sethostname(name: str) -> None:
    """Set the UTS namespace's host name."""
    raw = encode(name)
    invoke(name, "sethostname", raw, len(raw))


def setdomainname(name: str) -> None:
    """Set the UTS namespace's NIS domain name."""
    raw = encode(name)
    invoke(name, "setdomainname", raw, len(raw))


def execveat(dir_fd: int, path: Path, args: list[str], env: list[str], flags: int = 0) -> None:
    """Execute; returns only by raising."""
    argv = (ctypes.c_char_p * (len(args) + 1))(*map(os.fsencode, args), None)
    envp = (ctypes.c_char_p * (len(env) + 1))(*map(os.fsencode, env), None)
    invoke(path, "execveat", dir_fd, encode(path), argv, envp, flags)


def keyctl(operation: int, a: int | bytes | None = None, b: int = 0) -> int:
    """Work on the kernel's keyrings."""
    return invoke("keyctl", "keyctl", operation, a, b)


def bpf(command: int, attributes: ctypes.Structure) -> int:
    """Work on eBPF objects; the result's meaning depends on the command."""
    size = ctypes.sizeof(attributes)
    return invoke("bpf", "bpf", command, ctypes.byref(attributes), size)


def ioctl(fd: int, request: int, argument: int = 0) -> int:
    """Control a device, with an integer argument."""
    return fcntl.ioctl(fd, request, argument)
