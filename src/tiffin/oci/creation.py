"""Making a container from a bundle: what `create` and `run` have in common."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.oci.command import Call
from tiffin.oci.container import process_state
from tiffin.oci.flags import FLAG, NUMBER, Flag
from tiffin.oci.store import FILTERS, GATE, JsonObject, Record
from tiffin.runtime import config, console_socket
from tiffin.runtime.own import OwnRuntime
from tiffin.runtime.own_task import OwnTask
from tiffin.runtime.runtime import CreateOptions, Stdio
from tiffin.spec.times import format_time

INHERITED = Stdio(0, 1, 2)
_MOST_PROCESSORS = 8192
FLAGS = (
    Flag("bundle", short="b", help="path to the root of the bundle directory"),
    Flag("console-socket", help="socket that receives the master of the console's terminal"),
    Flag("pidfd-socket", help="socket that receives a pidfd of the container's process"),
    Flag("pid-file", help="file to write the process id to"),
    Flag("no-pivot", FLAG, help="do not use pivot root (for a root in a ramdisk)"),
    Flag("no-new-keyring", FLAG, help="do not create a new session keyring"),
    Flag("preserve-fds", NUMBER, help="pass so many additional descriptors to the container"),
)


@dataclass(frozen=True, slots=True)
class Making:
    """A container that has been made, up to its program."""

    record: Record
    task: OwnTask
    document: JsonObject
    has_terminal: bool


@contextmanager
def make(call: Call, *, detached: bool, gated: bool) -> Iterator[Making]:
    """Make the container that the call names; if the body fails, nothing is left of it.

    `detached`: nobody here will serve its terminal; `gated`: it waits for another `start`.
    """
    container_id = call.container_id()
    if call.systemd_cgroup:
        raise FailedPrecondition(
            "systemd cgroup driver is not offered: control groups are made directly, "
            "leave --systemd-cgroup out"
        )
    bundle = Path(call.parsed.text("bundle", ".")).absolute()
    document = _read(bundle)
    terminal = bool((document.get("process") or {}).get("terminal"))
    check_console(call, terminal=terminal, detached=detached)
    directory = call.store.reserve(container_id)
    gate: socket.socket | None = None
    task: OwnTask | None = None
    try:
        document = _settle(document, container_id, bundle)
        (directory / "config.json").write_text(json.dumps(document))
        gate = _open_gate(directory) if gated else None
        task = _create(call, container_id, directory, bundle, gate, terminal=terminal)
        record = _record(container_id, bundle, document, task)
        if terminal and call.parsed.text("console-socket"):
            hand_over(call.parsed.text("console-socket"), task.init.console)
        if call.parsed.text("pidfd-socket"):
            console_socket.send(call.parsed.text("pidfd-socket"), task.init.pidfd, "pidfd")
        if call.parsed.text("pid-file"):
            write_pid_file(call.parsed.text("pid-file"), task.init.pid)
        call.store.save(record)
        yield Making(record, task, document, terminal)
    except BaseException:
        if task is not None:
            task.delete()
        call.store.remove(container_id)
        raise
    finally:
        if gate is not None:
            gate.close()


def check_console(call: Call, *, terminal: bool, detached: bool) -> None:
    """Raise InvalidArgument where a terminal has no taker, or a taker no terminal."""
    path = call.parsed.text("console-socket")
    if terminal and detached and not path:
        raise InvalidArgument(
            "cannot allocate tty if runc will detach without setting console socket"
        )
    if path and not (terminal and detached):
        raise InvalidArgument("cannot use console socket if runc will not detach or allocate tty")


def reset_affinity() -> None:
    """Have the container run on all processors that its group may, not on the caller's alone."""
    try:
        os.sched_setaffinity(0, range(_MOST_PROCESSORS))
    except OSError:  # of a kernel that lets nobody choose
        return


def terminal_stdio(call: Call) -> Stdio:
    """Return how a process with a terminal is connected."""
    is_ours = not call.parsed.text("console-socket")
    return Stdio(-1, -1, -1, terminal=True, plain_line_ends=is_ours)


def hand_over(path: str, master: int) -> None:
    """Give the terminal to whoever listens; FailedPrecondition."""
    try:
        console_socket.send(path, master, "/dev/ptmx")
    except OSError as error:
        raise FailedPrecondition(f"console socket {path}: {error.strerror}") from error
    os.close(master)


def write_pid_file(path: str, pid: int) -> None:
    """Write it in one go, as whoever waits for it reads it at once."""
    directory, name = os.path.split(path)
    fresh = os.path.join(directory, f".{name}.{os.getpid()}")
    with open(fresh, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(fresh, path)


def preserved(call: Call) -> int:
    """Return how many descriptors after stderr are the container's; InvalidArgument."""
    listening = os.environ.get("LISTEN_FDS", "")
    count = call.parsed.number("preserve-fds") + (int(listening) if listening.isdecimal() else 0)
    for fd in range(3, 3 + count):
        try:
            os.fstat(fd)
        except OSError:
            raise InvalidArgument(
                f"unable to stat preserved-fd {fd - 2} (of {count}): no such descriptor"
            ) from None
    return count


def _create(
    call: Call,
    container_id: str,
    directory: Path,
    bundle: Path,
    gate: socket.socket | None,
    *,
    terminal: bool,
) -> OwnTask:
    runtime = OwnRuntime(call.store.root / FILTERS)
    options = CreateOptions(
        warn=call.log.warning,
        explain=call.log.debug if call.log.is_verbose else None,
        gate=-1 if gate is None else gate.fileno(),
        preserved=preserved(call),
        keyring=not call.parsed.has("no-new-keyring"),
        pivot=not call.parsed.has("no-pivot"),
        bundle=bundle,
    )
    stdio = terminal_stdio(call) if terminal else INHERITED
    sys.stdout.flush()
    reset_affinity()
    return runtime.create(container_id, directory, stdio, options)


def _read(bundle: Path) -> JsonObject:
    file = bundle / "config.json"
    if not file.exists():
        raise InvalidArgument(f"JSON specification file {file} not found")
    return config.read(bundle)


def _settle(document: JsonObject, container_id: str, bundle: Path) -> JsonObject:
    """Return the configuration as it is to be kept: independent of the bundle's place."""
    root = dict(document.get("root") or {})
    root["path"] = str((bundle / str(root.get("path") or "rootfs")).absolute())
    linux = dict(document.get("linux") or {})
    linux["cgroupsPath"] = linux.get("cgroupsPath") or f"/tiffin/{container_id}"
    process = dict(document.get("process") or {})
    listening = os.environ.get("LISTEN_FDS")
    if listening:
        extra = [f"LISTEN_FDS={listening}", "LISTEN_PID=1"]
        process["env"] = [*(process.get("env") or []), *extra]
    _check_resources(linux)
    if not os.path.isdir(root["path"]) and "annotations" not in document:
        raise FailedPrecondition(f"invalid rootfs: stat {root['path']}: no such file or directory")
    return {**document, "root": root, "linux": linux, "process": process}


def _check_resources(linux: JsonObject) -> None:
    """Raise InvalidArgument for limits that cannot be read, before anything is made of them."""
    try:
        open_group(str(linux["cgroupsPath"])).join_files(linux.get("resources") or {})
    except ValueError as error:
        raise InvalidArgument(f"linux.{error}") from error


def _record(container_id: str, bundle: Path, document: JsonObject, task: OwnTask) -> Record:
    pid = task.init.pid
    return Record(
        id=container_id,
        pid=pid,
        start_time=process_state(pid)[1],
        bundle=str(bundle),
        rootfs=document["root"]["path"],
        cgroup=task.group.path,
        created=format_time(time.time_ns()),
        owner=os.geteuid(),
    )


def _open_gate(directory: Path) -> socket.socket:
    gate = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        gate.bind(f"/proc/self/fd/{place}/{GATE}")
        gate.listen(1)
    finally:
        os.close(place)
    return gate
