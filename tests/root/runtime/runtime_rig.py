"""A tiny container: a busybox root, a configuration with Docker's defaults, and what it leaves."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiffin.linux import pidfd
from tiffin.linux.cgroups.layout import detect
from tiffin.linux.pidfd import Ended
from tiffin.runtime.own import OwnRuntime
from tiffin.runtime.own_task import OwnTask
from tiffin.runtime.runtime import CreateOptions, NetworkSockets, Process, Stdio

APPLETS = [
    "sh", "true", "false", "ls", "cat", "id", "sleep", "env", "unshare", "mount", "ps",
    "hostname", "readlink", "stty", "tty", "echo", "grep", "kill", "mkdir", "touch", "dd",
    "head", "wc", "test", "chmod", "su", "setpriv", "mknod", "umount", "stat", "pwd",
    "sort", "trap", "printf", "seq", "rm",
]  # fmt: skip
DEFAULT_CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]  # fmt: skip
DEFAULT_MASK = 0xA80425FB
"""What /proc/self/status shows for Docker's default capabilities."""

MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
PLAIN = ["nosuid", "noexec", "nodev"]


class Rig:
    """Makes containers of one root tree, each with its own writable layer and cgroup."""

    def __init__(self, place: Path, tag: str) -> None:
        self.place = place
        self.tag = tag
        self.lower = place / "lower"
        self.runtime = OwnRuntime(place / "filters")
        self.network: NetworkSockets | None = None
        self.warnings: list[str] = []
        self.steps: list[str] = []
        self._count = 0
        self._make_root()

    def _make_root(self) -> None:
        busybox = shutil.which("busybox")
        assert busybox is not None, "these tests need a static busybox"
        for name in ("bin", "etc", "tmp", "home/user"):
            (self.lower / name).mkdir(parents=True)
        shutil.copy(busybox, self.lower / "bin/busybox")
        for name in APPLETS:
            (self.lower / "bin" / name).symlink_to("busybox")
        (self.lower / "etc/passwd").write_text(
            "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"
        )

    def config(self, *args: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a configuration; `changes` are merged into its sections."""
        self._count += 1
        upper, work = (self.place / f"{name}{self._count}" for name in ("upper", "work"))
        upper.mkdir()
        work.mkdir()
        options = [f"lowerdir={self.lower}", f"upperdir={upper}", f"workdir={work}"]
        rootfs = [{"fstype": "overlay", "source": "overlay", "options": options, "target": ""}]
        document: dict[str, Any] = {
            "ociVersion": "1.2.0",
            "root": {"path": "rootfs"},
            "hostname": "box",
            "annotations": {"org.tiffin.rootfs": json.dumps(rootfs)},
            "process": {
                "args": list(args),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "capabilities": dict.fromkeys(
                    ("bounding", "effective", "permitted"), DEFAULT_CAPABILITIES
                ),
            },
            "mounts": [
                {"destination": target, "type": kind, "source": kind, "options": words}
                for target, kind, words in (
                    ("/proc", "proc", PLAIN),
                    ("/dev", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
                    ("/dev/pts", "devpts", ["nosuid", "noexec", "ptmxmode=0666", "mode=0620"]),
                    ("/sys", "sysfs", [*PLAIN, "ro"]),
                    ("/sys/fs/cgroup", "cgroup", [*PLAIN, "ro"]),
                    ("/dev/mqueue", "mqueue", PLAIN),
                    ("/dev/shm", "tmpfs", [*PLAIN, "mode=1777", "size=1048576"]),
                )
            ],
            "linux": {
                "cgroupsPath": f"/{self.tag}/box{self._count}",
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "namespaces": [
                    {"type": kind} for kind in ("mount", "pid", "uts", "ipc", "network", "cgroup")
                ],
                "maskedPaths": MASKED,
                "readonlyPaths": READONLY,
            },
        }
        for name, change in changes.items():
            if isinstance(change, dict):
                document.setdefault(name, {}).update(change)
            elif name == "mounts":
                document["mounts"] += change
            else:
                document[name] = change
        return document

    def bundle(self, document: dict[str, Any]) -> Path:
        """Write a bundle."""
        path = self.place / f"bundle{self._count}"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(document))
        return path

    @contextmanager
    def task(
        self,
        document: dict[str, Any],
        stdio: Stdio,
        *,
        start: bool = True,
        **options: Any,  # noqa: ANN401
    ) -> Iterator[OwnTask]:
        """Create and start a task; deleted at the end."""
        choices = CreateOptions(warn=self.warnings.append, explain=self.steps.append, **options)
        task = self.runtime.create("box", self.bundle(document), stdio, choices)
        try:
            if start:
                task.start()
            yield task
        finally:
            for fd in descriptors(task):
                os.close(fd)
            task.delete()

    def run(self, document: dict[str, Any], **options: bool) -> tuple[str, Ended]:
        """Run to the end; return what it wrote and how it ended."""
        with output() as (stdio, read):
            with self.task(document, stdio, **options) as task:
                os.close(stdio.stdout)
                text = read()
                return text, pidfd.wait(task.init.pidfd)

    def shell(self, script: str, **changes: Any) -> str:  # noqa: ANN401
        """Return what a shell script writes."""
        return self.run(self.config("sh", "-c", script, **changes))[0]


def descriptors(task: OwnTask) -> list[int]:
    """Return what belongs to the caller."""
    network = task.network
    found = [task.init.console]
    if network is not None:
        found += [network.netns, network.rtnetlink, network.nfnetlink]
        found += [network.dns_udp, network.dns_tcp]
    return [fd for fd in found if fd >= 0]


@contextmanager
def output() -> Iterator[tuple[Stdio, Any]]:
    """Give stdio into a pipe, and a function that reads it to the end."""
    reading, writing = os.pipe2(os.O_CLOEXEC)

    def read() -> str:
        chunks = []
        while chunk := os.read(reading, 65536):
            chunks.append(chunk)
        return b"".join(chunks).decode()

    try:
        yield Stdio(-1, writing, writing), read
    finally:
        os.close(reading)
        try:
            os.close(writing)
        except OSError:
            pass  # the body has closed it, to see the end of the output


def run_in(task: OwnTask, *args: str, **process: Any) -> tuple[str, Ended]:  # noqa: ANN401
    """Execute something in a running container; return what it wrote and how it ended."""
    with output() as (stdio, read):
        document = {"args": list(args), "env": ["PATH=/bin"], "cwd": "/", **process}
        made: Process = task.exec(document, stdio)
        os.close(stdio.stdout)
        text = read()
        ended = pidfd.wait(made.pidfd)
        os.close(made.pidfd)
        return text, ended


def leftovers(place: Path, tag: str) -> dict[str, list[str]]:
    """Return what should not be there any more: cgroups, mounts, processes, descriptors."""
    layout = detect()
    places = {*layout.v1.values(), layout.unified} - {""}
    mine = f"/proc/{os.getpid()}"
    children = Path(f"{mine}/task/{os.getpid()}/children").read_text().split()
    return {
        "cgroups": [f"{root}/{tag}" for root in places if os.path.exists(f"{root}/{tag}")],
        "mounts": [
            line
            for line in Path(f"{mine}/mountinfo").read_text().splitlines()
            if str(place) in line
        ],
        "processes": children,
        "descriptors": sorted(os.listdir(f"{mine}/fd")),
    }
