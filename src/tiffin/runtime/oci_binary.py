"""Runs bundles by the binary of another OCI runtime: runc, crun, youki, runsc, `tiffin-runtime`.

The shim stays what it is: it owns streams, log and exit status, and init is its child (it is a
child subreaper, and the runtime's commands end once they have done their part). What belongs to the
runtime lives in the task's directory:

    oci/config.json, rootfs/    the bundle as the runtime gets it (`oci_bundle.py`)
    oci/state/                  its `--root`
    oci/log.json, pid, …        of the command that was run last

Limits and figures are read from the control group that the bundle names.
"""

import json
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux import pidfd, pty, syscalls
from tiffin.linux.cgroups.group import Group, make_directory, refuse_inhabited
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import detect
from tiffin.linux.syscalls import PR_SET_CHILD_SUBREAPER
from tiffin.runtime import companions, config, network_sockets, oci_bundle
from tiffin.runtime.companions import Companions
from tiffin.runtime.config import Config
from tiffin.runtime.config_process import parse_process
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.console_socket import ConsoleSocket
from tiffin.runtime.oci_command import NOWHERE, Binary, Command, OciError
from tiffin.runtime.runtime import CreateOptions, NetworkSockets, Process, Stdio

CREATE_FAILED = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
)
EXEC_FAILED = "OCI runtime exec failed: "


Prepare = Callable[[], None]


class BinaryRuntime:
    """Fulfils `runtime.Runtime` for one configured binary."""

    def __init__(self, binary: Binary) -> None:
        self._binary = binary
        self._layout = detect()

    @property
    def name(self) -> str:
        """See `Runtime.name`."""
        return self._binary.name

    def prepare(self) -> None:
        """See `Runtime.prepare`: nothing can be."""

    def create(
        self, container_id: str, bundle: Path, stdio: Stdio, options: CreateOptions
    ) -> "BinaryTask":
        """See `Runtime.create`."""
        syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
        task, document = self._task(container_id, bundle, options)
        with ExitStack() as undo:
            try:
                self._make_group(task.group)
            except OSError as error:
                raise FailedPrecondition(f"{CREATE_FAILED}{error}: unknown") from error
            undo.callback(task.delete)
            undo.callback(_end_children)
            task.create(document, stdio)
            undo.pop_all()
        return task

    def adopt(
        self,
        container_id: str,
        bundle: Path,
        init: Process,
        network: NetworkSockets | None,
        options: CreateOptions,
    ) -> "BinaryTask":
        """See `Runtime.adopt`."""
        syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
        task, _ = self._task(container_id, bundle, options)
        task.adopt(init, network)
        return task

    def _task(
        self, container_id: str, bundle: Path, options: CreateOptions
    ) -> tuple["BinaryTask", JsonObject]:
        document = config.read(bundle)
        settings = config.parse(document, bundle)
        place = bundle / "oci"
        place.mkdir(mode=0o700, exist_ok=True)
        group = open_group(settings.cgroups_path or f"tiffin/{container_id}", self._layout)
        command = Command(self._binary, place, self._layout)
        return BinaryTask(container_id, settings, group, place, command, options), document

    def _make_group(self, group: Group) -> None:
        """Make the group in every hierarchy that a runtime may use, so that it goes as ours do."""
        if not self._layout.v1:
            group.create({}, _ignore)
            return
        for place in set(self._layout.v1.values()):
            refuse_inhabited(make_directory(place, group.path))


class BinaryTask:
    """Fulfils `runtime.Task`; descriptors in `init` and `network` are the caller's."""

    def __init__(
        self,
        container_id: str,
        settings: Config,
        group: Group,
        place: Path,
        command: Command,
        options: CreateOptions,
    ) -> None:
        self._id = container_id
        self._config = settings
        self._group = group
        self._place = place
        self._command = command
        self._options = options
        self._init = Process(-1, -1)
        self._network: NetworkSockets | None = None
        self._companions = Companions()

    @property
    def init(self) -> Process:
        """See `Task.init`."""
        return self._init

    @property
    def network(self) -> NetworkSockets | None:
        """See `Task.network`."""
        return self._network

    @property
    def group(self) -> Group:
        """The container's control group."""
        return self._group

    def adopt(self, init: Process, network: NetworkSockets | None) -> None:
        """Go on with a task that another process has made."""
        self._init, self._network = init, network

    def create(self, document: JsonObject, stdio: Stdio) -> None:
        """Have the runtime make the container; FailedPrecondition with its words."""
        foreign = oci_bundle.write(document, self._config, self._place, self._warn)
        words = ("create", "--bundle", str(self._place))
        terminal = self._config.process.terminal
        try:
            self._explain(words)
            self._init = self._launch(
                words, (self._id,), stdio, terminal=terminal, prepare=foreign.prepare
            )
            if self._options.network_sockets and self._config.has_new("network"):
                self._network = network_sockets.open_in(
                    self._init.pid, dns=self._options.dns_sockets
                )
        except OciError as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{error}: unknown") from error
        except OSError as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{error}: unknown") from error

    def start(self) -> None:
        """See `Task.start`."""
        try:
            self._run("start", self._id)
        except OciError as error:
            raise FailedPrecondition(f"OCI runtime start failed: {error}: unknown") from error

    def exec(self, process: JsonObject, stdio: Stdio) -> Process:
        """See `Task.exec`."""
        terminal = parse_process(process).terminal
        file = self._place / "process.json"
        file.write_text(json.dumps(oci_bundle.granted(process, self._warn)))
        words = ("exec", "--detach", "--process", str(file))
        try:
            made = self._launch(words, (self._id,), stdio, terminal=terminal)
        except (OciError, OSError) as error:
            raise FailedPrecondition(f"{EXEC_FAILED}{error}: unknown") from error
        self._companions.add(made.pidfd)
        return made

    def kill(self, signal: int, *, every: bool = False) -> None:
        """See `Task.kill`; nothing happens if it has ended."""
        if every:
            self._group.signal(signal)
            return
        try:
            self._run("kill", self._id, str(signal))
        except OciError as error:
            if not pidfd.has_ended(self._init.pidfd):
                raise FailedPrecondition(str(error)) from error

    def pause(self) -> None:
        """See `Task.pause`."""
        self._ask("pause", self._id)

    def resume(self) -> None:
        """See `Task.resume`."""
        self._ask("resume", self._id)

    def update(self, resources: JsonObject) -> None:
        """See `Task.update`."""
        file = self._place / "resources.json"
        file.write_text(json.dumps(resources))
        try:
            self._run("update", "--resources", str(file), self._id)
        except OciError as error:
            raise InvalidArgument(f"failed to update container: {error}") from error

    def stats(self) -> JsonObject:
        """See `Task.stats`."""
        return self._group.stats()

    def oom_kills(self) -> int:
        """See `Task.oom_kills`."""
        return self._group.oom_kills()

    def delete(self) -> None:
        """See `Task.delete`."""
        descriptor = self._init.pidfd
        if descriptor >= 0:
            pidfd.kill(descriptor)
        self._group.kill()
        self._companions.end()
        with suppress(OciError):  # a runtime that knows of nothing; what it made goes below
            self._run("delete", "--force", self._id)
        if descriptor >= 0:
            companions.end(descriptor)
            self._init = Process(self._init.pid, -1, self._init.console)
        self._group.remove()

    def _launch(
        self,
        before: tuple[str, ...],
        after: tuple[str, ...],
        stdio: Stdio,
        *,
        terminal: bool,
        prepare: Prepare | None = None,
    ) -> Process:
        """Have the runtime make a process, and get hold of it; OciError, OSError."""
        file = self._place / "pid"
        file.unlink(missing_ok=True)
        words = (*before, "--pid-file", str(file))
        with ExitStack() as scope:
            console: ConsoleSocket | None = None
            if terminal:
                console = ConsoleSocket(self._place)
                scope.callback(console.close)
                words = (*words, "--console-socket", console.path)
            self._run(*words, *after, stdio=NOWHERE if terminal else stdio, prepare=prepare)
            pid = int(file.read_text())
            descriptor = _descriptor_of_child(pid)
            try:
                master = console.receive() if console is not None else -1
                if master >= 0 and stdio.rows and stdio.columns:
                    pty.set_size(master, stdio.rows, stdio.columns)
            except BaseException:
                companions.end(descriptor)
                raise
        return Process(pid, descriptor, master)

    def _ask(self, *words: str) -> None:
        try:
            self._run(*words)
        except OciError as error:
            raise FailedPrecondition(str(error)) from error

    def _run(self, *words: str, stdio: Stdio = NOWHERE, prepare: Prepare | None = None) -> None:
        for warning in self._command.run(*words, stdio=stdio, prepare=prepare):
            self._warn(warning)

    def _warn(self, text: str) -> None:
        if self._options.warn is not None:
            self._options.warn(text)

    def _explain(self, words: tuple[str, ...]) -> None:
        if self._options.explain is not None:
            call = " ".join([*self._command.line(*words), self._id])
            step = "have the OCI runtime make the container"
            self._options.explain(json.dumps({"step": step, "call": call}))


def _descriptor_of_child(pid: int) -> int:
    """Return a pidfd of a process that has become this one's child; OciError if it has not."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise OciError(f"the process {pid} that the runtime told of does not exist") from None
    try:
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        os.close(descriptor)
        raise OciError(f"the process {pid} that the runtime told of is no child of its") from None
    return descriptor


def _end_children() -> None:
    """Kill what a runtime that failed, or was killed, has left to this process; it has no other."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        pids = [int(pid) for pid in file.read().split()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _ignore(_: str) -> None:
    return
