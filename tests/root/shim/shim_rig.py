"""What the shim's tests run on: a tiny root of a static busybox, bundles, clients."""

import asyncio
import json
import os
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tiffin.engine.roots import Roots
from tiffin.engine.tasks.contract import Attachment, ExecRequest, LogTarget, TaskRequest
from tiffin.engine.tasks.handle import Handle
from tiffin.engine.tasks.service import STANDING_GROUP, Tasks
from tiffin.logs import select
from tiffin.logs.driver import LogQuery
from tiffin.spec.ids import ContainerId, ExecId, new_id
from tiffin.wire import stdcopy

APPLETS = ("cat", "echo", "head", "md5sum", "printf", "sh", "sleep", "stty", "tr", "true", "yes")
NAMESPACES = ("pid", "mount", "uts", "ipc")


def make_rootfs(directory: Path) -> Path:
    busybox = shutil.which("busybox")
    assert busybox, "these tests need a static busybox"
    for name in ("bin", "proc", "dev", "tmp", "sys", "etc"):
        (directory / name).mkdir(parents=True)
    shutil.copy(busybox, directory / "bin" / "busybox")
    for name in APPLETS:
        (directory / "bin" / name).symlink_to("busybox")
    return directory


@dataclass
class Client:
    """The test's end of an attached connection."""

    connection: socket.socket
    received: bytes = b""

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.connection, data)

    def end_input(self) -> None:
        self.connection.shutdown(socket.SHUT_WR)

    async def read_until(self, wanted: bytes) -> bytes:
        while wanted not in self.received:
            data = await asyncio.get_running_loop().sock_recv(self.connection, 1 << 16)
            assert data, f"ended before {wanted!r}: {self.received!r}"
            self.received += data
        return self.received

    async def read_all(self) -> bytes:
        portions = [self.received]
        while data := await asyncio.get_running_loop().sock_recv(self.connection, 1 << 18):
            portions.append(data)
        self.received = b"".join(portions)
        return self.received

    def streams(self) -> tuple[bytes, bytes]:
        decoder = stdcopy.Decoder()
        found = {stdcopy.STDOUT: [b""], stdcopy.STDERR: [b""]}
        for piece in decoder.feed(self.received):
            found[piece.stream].append(piece.data)
        assert decoder.is_between_frames
        return b"".join(found[stdcopy.STDOUT]), b"".join(found[stdcopy.STDERR])

    def close(self) -> None:
        self.connection.close()


@dataclass
class Rig:
    """One engine's worth of tasks under a directory of its own."""

    directory: Path
    rootfs: Path
    roots: Roots
    clients: list[Client] = field(default_factory=list)
    requests: list[TaskRequest] = field(default_factory=list)

    def request(self, *args: str, log: str = "json-file", **options: Any) -> TaskRequest:  # noqa: ANN401
        identifier = ContainerId(new_id())
        bundle = self.roots.task(identifier)
        bundle.mkdir(parents=True)
        terminal = bool(options.get("terminal"))
        namespaces = [*NAMESPACES, *(["network"] if options.get("new_network") else [])]
        config = {
            "ociVersion": "1.2.0",
            "process": process(*args, terminal=terminal),
            "root": {"path": str(self.rootfs), "readonly": True},
            "hostname": "test",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {
                    "destination": "/dev/pts",
                    "type": "devpts",
                    "source": "devpts",
                    "options": ["newinstance", "ptmxmode=0666", "mode=0620"],
                },
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "cgroupsPath": f"/{self.roots.tag}/{identifier}",
                "namespaces": [{"type": kind} for kind in namespaces],
                "resources": {},
            },
        }
        (bundle / "config.json").write_text(json.dumps(config))
        logs = LogTarget(log, self.roots.container(identifier) / "log", {})
        made = TaskRequest(id=identifier, bundle=bundle, log=logs, **options)
        self.requests.append(made)
        return made

    def connect(self, **options: Any) -> tuple[Client, Attachment]:  # noqa: ANN401
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        client = Client(ours)
        self.clients.append(client)
        return client, Attachment(theirs.detach(), **options)

    async def run(  # the options are those of TaskRequest
        self,
        tasks: Tasks,
        *args: str,
        attach: Attachment | None = None,
        **options: Any,  # noqa: ANN401
    ) -> Handle:
        request = self.request(*args, **options)
        if attach is not None:
            request = replace(request, attachments=(attach,))
        try:
            handle = await tasks.create(request)
        finally:
            if attach is not None:
                os.close(attach.fd)
        await handle.start()
        return handle

    def log(self, number: int = -1, stream: str = "stdout") -> bytes:
        target = self.requests[number].log
        records = select.reader(target.driver, target.path).read(LogQuery())
        return b"".join(record.line for record in records if record.stream == stream)

    def cgroups(self) -> list[Path]:
        """Groups of containers; a daemon's own one stands as long as it."""
        found = Path("/sys/fs/cgroup").glob(f"*/{self.roots.tag}/*/")
        return [path for path in found if path.name != STANDING_GROUP]

    def processes(self) -> list[int]:
        """Everything of ours that runs: what has our root directory or was started for it."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if str(self.directory).encode() in arguments:
                found.append(int(path.name))
        return found


def process(*args: str, terminal: bool = False) -> dict[str, Any]:
    return {
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": list(args),
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
    }


def exec_request(name: str, *args: str, **options: Any) -> ExecRequest:  # noqa: ANN401
    terminal = bool(options.get("terminal"))
    return ExecRequest(ExecId(name), process(*args, terminal=terminal), **options)


@asynccontextmanager
async def tasks_of(rig: Rig) -> AsyncIterator[Tasks]:
    tasks = Tasks(rig.roots)
    await tasks.start()
    try:
        yield tasks
    finally:
        await tasks.close()


async def wait_for(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until something is the case that no event tells of."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)


def is_kept(pid: int) -> bool:
    """Whether a task's shim has come down to its keeper, so that init is the keeper's child."""
    try:
        return comm(parent_of(parent_of(pid))) != "tiffin-shim"
    except (FileNotFoundError, ProcessLookupError):
        # The maker ended between the look at the child and the look at itself.
        return False


def parent_of(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[1])


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text[text.rindex(")") + 2] not in "ZX"
