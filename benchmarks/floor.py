"""The floor: what a container costs in bare Python, without anything of a container platform.

fork, unshare of six namespaces, an overlay mount, pivot_root, /proc, exec of a static `true`, wait.
`--runtime` measures the runtime's create + start + wait + delete right next to it, interleaved.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

NAMESPACES = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000
MS_REC, MS_PRIVATE, MNT_DETACH = 0x4000, 0x40000, 2
PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41
libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def inside(tree: Path) -> None:
    check(libc.mount(b"", b"/", None, MS_REC | MS_PRIVATE, None))
    options = f"lowerdir={tree}/lower,upperdir={tree}/upper,workdir={tree}/work"
    root = os.fsencode(tree / "root")
    check(libc.mount(b"overlay", root, b"overlay", 0, options.encode()))
    os.chdir(root)
    check(libc.mount(b"proc", b"proc", b"proc", 0, None))
    check(libc.syscall(PIVOT_ROOT, b".", b"."))
    check(libc.umount2(b".", MNT_DETACH))
    os.execv("/true", ["true"])


def floor(tree: Path) -> float:
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        check(libc.unshare(NAMESPACES))
        first = os.fork()  # the first process of the PID namespace
        if first == 0:
            inside(tree)
        _, status = os.waitpid(first, 0)
        os._exit(os.waitstatus_to_exitcode(status))
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(f"the floor failed: {status}")
    return time.perf_counter() - start


def cpu_seconds() -> float:
    """Return what this process and its collected children have used."""
    rusage = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in rusage)


def make_tree(tree: Path) -> None:
    for name in ("lower/proc", "lower/dev", "lower/sys", "upper", "work", "root"):
        (tree / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        sys.exit("a static busybox is needed")
    shutil.copy(busybox, tree / "lower/true")


def bundle(tree: Path) -> Path:
    place = tree / "bundle"
    place.mkdir()
    options = [f"lowerdir={tree}/lower", f"upperdir={tree}/upper", f"workdir={tree}/work"]
    rootfs = [{"fstype": "overlay", "source": "overlay", "options": options, "target": ""}]
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
    sets = dict.fromkeys(("bounding", "effective", "permitted"), capabilities)
    plain = ["nosuid", "noexec", "nodev"]
    mounts = [
        ("/proc", "proc", plain),
        ("/dev", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", ["nosuid", "noexec", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/sys", "sysfs", [*plain, "ro"]),
        ("/sys/fs/cgroup", "cgroup", [*plain, "ro"]),
        ("/dev/mqueue", "mqueue", plain),
        ("/dev/shm", "tmpfs", [*plain, "mode=1777", "size=67108864"]),
    ]
    config = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "floor",
        "annotations": {"org.tiffin.rootfs": json.dumps(rootfs)},
        "process": {"args": ["/true"], "cwd": "/", "capabilities": sets, "env": ["HOME=/"]},
        "mounts": [
            {"destination": target, "type": kind, "source": kind, "options": options}
            for target, kind, options in mounts
        ],
        "linux": {
            "cgroupsPath": f"/tiffin-floor-{os.getpid()}/c",
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [
                {"type": kind} for kind in ("mount", "pid", "uts", "ipc", "network", "cgroup")
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
                "syscalls": [{"names": ["execve", "execveat", "exit_group", "brk", "mmap", "read",
                    "munmap", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "write",
                    "mprotect", "prlimit64", "readlinkat", "getrandom", "uname", "readlink",
                    "getuid", "setuid", "prctl", "capset", "capget", "close_range", "futex"],
                    "action": "SCMP_ACT_ALLOW"}],
            },
        },
    }  # fmt: skip
    (place / "config.json").write_text(json.dumps(config))
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=50)
    parser.add_argument("--runtime", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tiffin-floor-") as place:
        tree = Path(place)
        make_tree(tree)
        runs: dict[str, list[float]] = {}
        measure = runtime_measure(tree) if arguments.runtime else None
        processor: dict[str, list[float]] = {}
        for _ in range(arguments.n):
            for name, run in (("floor", lambda: floor(tree)), ("runtime", measure)):
                if run is not None:
                    before = cpu_seconds()
                    runs.setdefault(name, []).append(run())
                    processor.setdefault(name, []).append(cpu_seconds() - before)
    for name, times in runs.items():
        low, middle = min(times) * 1000, statistics.median(times) * 1000
        cpu = statistics.median(processor[name]) * 1000
        print(f"{name:8} median {middle:6.2f} ms   best {low:6.2f} ms   CPU {cpu:6.2f} ms")
    if measure is not None:
        ratio = statistics.median(runs["runtime"]) / statistics.median(runs["floor"])
        print(f"ratio    {ratio:.2f}")


def runtime_measure(tree: Path):  # noqa: ANN201 - a local function
    from tiffin.linux import pidfd
    from tiffin.runtime.own import OwnRuntime
    from tiffin.runtime.runtime import CreateOptions, Stdio

    place, runtime = bundle(tree), OwnRuntime()
    null = os.open("/dev/null", os.O_RDWR)

    def measure() -> float:
        start = time.perf_counter()
        task = runtime.create("floor", place, Stdio(null, null, null), CreateOptions())
        try:
            task.start()
            ended = pidfd.wait(task.init.pidfd)
            if ended.status:
                raise RuntimeError(f"the program failed: {ended}")
        finally:
            task.delete()
        return time.perf_counter() - start

    return measure


if __name__ == "__main__":
    main()
