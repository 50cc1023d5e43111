"""Our own runtime: namespaces, cgroups and mounts straight from the kernel.

`create` forks the child into its namespaces (`handshake.py` shows the conversation), or takes the
one that `prepare` has made ahead (`spare.py`); `start` opens the gate. A task holds: the child's
pidfd, the channel until the program runs, the cgroup. Whatever fails before `create` returns is
undone: the child is killed and the cgroup removed.
"""

import errno
import json
import os
import signal
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument, TiffinError
from tiffin.linux import pidfd, syscalls
from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import Layout, detect
from tiffin.runtime import child, companions, config, spare
from tiffin.runtime.child import ChildOptions
from tiffin.runtime.companions import Companions
from tiffin.runtime.config import Config, JsonObject
from tiffin.runtime.exec import Container, clone_in, clone_in_user, execute_in
from tiffin.runtime.handshake import Channel, Kind, Message, close_all, pair
from tiffin.runtime.network_sockets import descriptors
from tiffin.runtime.operation import Failed
from tiffin.runtime.plan import Plan, Prepared, clone_flags, default_device_rules, plan
from tiffin.runtime.programs import Programs
from tiffin.runtime.runtime import CreateOptions, NetworkSockets, Process, Stdio
from tiffin.runtime.spare import Order, Spare
from tiffin.spec.id_mapping import IdMappings

if TYPE_CHECKING:
    from tiffin.runtime.hooks import Subject

CREATE_FAILED = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: "
)
"""What Docker's clients are used to read before the reason, and what some tools look for."""


class OwnRuntime:
    """Fulfils `runtime.Runtime`. `cache` is a directory for compiled seccomp programs."""

    name = "tiffin"

    def __init__(self, cache: Path | None = None) -> None:
        self._programs = Programs(cache)
        self._layout: Layout | None = None
        self._spare: Spare | None = None

    @property
    def layout(self) -> Layout:
        """The cgroup hierarchies, looked up once (a warm process does so before it forks)."""
        if self._layout is None:
            self._layout = detect()
        return self._layout

    def prepare(self) -> None:
        """See `Runtime.prepare`."""
        # A process that is to be born in its group (v2) cannot be born before that.
        if self._spare is None and self.layout.version == 1:
            with suppress(OSError):  # the container itself tells what is wrong
                self._spare = spare.fork(self._plan)

    def create(
        self, container_id: str, bundle: Path, stdio: Stdio, options: CreateOptions
    ) -> "OwnTask":
        """See `Runtime.create`.

        With `network_sockets` and no terminal it returns as soon as the sockets are there: the
        child goes on mounting while the network is plugged in, and `start` waits for it.
        """
        with ExitStack() as undo:
            ready = self._order_spare(undo, container_id, bundle, stdio, options)
            settings = config.parse(config.read(bundle), bundle)
            program = self._programs.program(settings.seccomp)
            group = open_group(settings.cgroups_path or f"tiffin/{container_id}", self.layout)
            if ready is not None and not spare.fits(settings):
                ready.discard()
                ready = None
            creation = _Creation(container_id, options.bundle or bundle, settings, group, options,
                                 undo)  # fmt: skip
            task = creation.run(program, stdio, self.layout, ready)
            undo.pop_all()
            return task

    def adopt(
        self,
        container_id: str,
        bundle: Path,
        init: Process,
        network: NetworkSockets | None,
        options: CreateOptions,
    ) -> "OwnTask":
        """See `Runtime.adopt`."""
        settings = config.parse(config.read(bundle), bundle)
        program = self._programs.program(settings.seccomp)
        group = open_group(settings.cgroups_path or f"tiffin/{container_id}", self.layout)
        task = OwnTask(container_id, settings, group, program, options, init, network)
        task.tell(_subject(container_id, options.bundle or bundle, settings))
        return task

    def _order_spare(
        self,
        undo: ExitStack,
        container_id: str,
        bundle: Path,
        stdio: Stdio,
        options: CreateOptions,
    ) -> Spare | None:
        """Set the spare child to work at once, before it is known whether it fits."""
        ready, self._spare = self._spare, None
        if ready is None:
            return None
        undo.callback(ready.discard)
        order = Order(
            container_id=container_id,
            bundle=str(bundle),
            init_process=options.init_process,
            explain=options.explain is not None,
            rows=stdio.rows,
            columns=stdio.columns,
        )
        if ready.order(order, stdio):
            return ready
        ready.discard()  # somebody has killed it
        return None

    def _plan(self, container_id: str, settings: Config) -> Plan:
        """Plan the first process of a container that a spare becomes."""
        group = open_group(settings.cgroups_path or f"tiffin/{container_id}", self.layout)
        files = group.join_files(_with_default_devices(settings.resources or {}))
        prepared = Prepared(files, _shown(files, self.layout))
        return plan(container_id, settings, prepared, self._programs.program(settings.seccomp))


@dataclass(slots=True)
class _Creation:
    """One `create` on its way; everything made is registered in `undo`."""

    container_id: str
    bundle: Path
    config: Config
    group: Group
    options: CreateOptions
    undo: ExitStack

    def run(self, program: bytes, stdio: Stdio, layout: Layout, ready: Spare | None) -> "OwnTask":
        resources = _with_default_devices(self.config.resources or {})
        if ready is not None:
            return self._take(ready, resources, program)
        is_born_in_group = bool(self.group.directory())
        if is_born_in_group:
            self._make_group(resources)
        scope = self.undo.enter_context(ExitStack())
        root_fd, made = self._mount_outside(scope)
        files = self.group.join_files(resources)
        subject = _subject(self.container_id, self.bundle, self.config)
        prepared = Prepared(
            files, _shown(files, layout), root_fd, made,
            keyring=self.options.keyring, pivot=self.options.pivot, subject=subject,
        )  # fmt: skip
        wants_network = self.options.network_sockets and self.config.has_new("network")
        # Planned before the fork: in the child, each page that is touched is copied first.
        steps = plan(self.container_id, self.config, prepared, program)
        ours, theirs = pair()
        self.undo.callback(ours.close)
        pid, descriptor = self._fork(clone_flags(self.config))
        if pid == 0:
            ours.close()
            choices = ChildOptions(
                network_sockets=wants_network,
                dns_sockets=wants_network and self.options.dns_sockets,
                init_process=self.options.init_process,
                explain=self.options.explain is not None,
                keep=tuple(fd for fd in (root_fd, *made.values()) if fd >= 0),
                gate=self.options.gate,
                preserved=self.options.preserved,
            )
            child.run(
                steps,
                self.config.process,
                theirs,
                stdio,
                choices,
            )
        theirs.close()
        scope.close()
        # Before the group can go, whoever stands in it must.
        self.undo.callback(companions.end, descriptor)
        self._explain(
            "make the container's first process in namespaces of its own",
            f"clone3({_flags_text(clone_flags(self.config))}) = {pid}",
        )
        if not is_born_in_group:
            self._make_group(resources)
        if self.config.has_new("user"):
            self._map_ids(pid)
        with suppress(BrokenPipeError):  # what it died of follows
            ours.send(Kind.PREPARED)
        task = OwnTask(self.container_id, self.config, self.group, program, self.options)
        task.tell(subject)
        task.adopt(pid, descriptor, ours)
        self.undo.callback(task.abandon)
        task.advance(Kind.NETWORK if wants_network else Kind.READY)
        if wants_network and (self.config.process.terminal or self.config.hooks is not None):
            task.advance(Kind.READY)
        return task

    def _take(self, ready: Spare, resources: JsonObject, program: bytes) -> "OwnTask":
        """Go on with a spare that is becoming the first process meanwhile."""
        wants_network = self.options.network_sockets
        network = ready.take(network=wants_network, dns=self.options.dns_sockets)
        self.undo.callback(ready.channel.close)
        self.undo.callback(companions.end, ready.pidfd)
        task = OwnTask(self.container_id, self.config, self.group, program, self.options)
        task.adopt(ready.pid, ready.pidfd, ready.channel, network)
        self.undo.callback(task.abandon)
        self._explain(
            "make the container's first process in namespaces of its own",
            f"clone3({_flags_text(clone_flags(self.config))}) = {ready.pid}",
        )
        self._make_group(resources)
        with suppress(BrokenPipeError):  # what it died of follows
            ready.channel.send(Kind.PREPARED)
        if self.config.process.terminal or not wants_network:
            task.advance(Kind.READY)
        return task

    def _make_group(self, resources: JsonObject) -> None:
        try:
            self.group.create(resources, self.options.warn or _ignore)
        except (OSError, ValueError) as error:
            raise _refusal(error)(
                f"{CREATE_FAILED}unable to apply cgroup configuration: {_plain(error)}: unknown"
            ) from error
        self.undo.callback(self.group.remove)
        self._explain(
            f"make the container's control group {self.group.path} with its limits",
            f'mkdir("…{self.group.path}"); write(limits of {", ".join(sorted(resources))})',
        )

    def _mount_outside(self, scope: ExitStack) -> tuple[int, Mapping[int, int]]:
        if self.config.rootfs:
            os.makedirs(self.config.root, exist_ok=True)
        if not self.config.needs_outside:
            return -1, {}
        from tiffin.runtime import outside  # for few containers

        try:
            found = outside.mount_outside(self.config, scope)
        except OSError as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{_plain(error)}: unknown") from error
        return found.root, found.mounts

    def _fork(self, flags: int) -> tuple[int, int]:
        directory = -1
        if self.group.directory():
            directory = os.open(self.group.directory(), os.O_RDONLY | os.O_CLOEXEC)
        user_namespace = self.config.namespace("user")
        pid_namespace = self.config.namespace("pid")
        try:
            if user_namespace is not None and user_namespace.path:
                joined = pid_namespace.path if pid_namespace is not None else ""
                return clone_in_user(user_namespace.path, joined, flags, directory)
            if pid_namespace is not None and pid_namespace.path:
                fd = os.open(pid_namespace.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    return clone_in(fd, 0, flags, directory)
                finally:
                    os.close(fd)
            return syscalls.clone3(flags, exit_signal=signal.SIGCHLD, cgroup=directory)
        except OSError as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{error}: unknown") from error
        finally:
            if directory >= 0:
                os.close(directory)

    def _map_ids(self, pid: int) -> None:
        from tiffin.linux.user_namespace import write_maps

        try:
            write_maps(pid, IdMappings(self.config.uid_mappings, self.config.gid_mappings))
        except OSError as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{_plain(error)}: unknown") from error

    def _explain(self, step: str, call: str) -> None:
        if self.options.explain is not None:
            self.options.explain(json.dumps({"step": step, "call": call}, ensure_ascii=False))


class OwnTask:
    """Fulfils `runtime.Task`.

    Descriptors in `init` and `network` belong to the caller; `delete` closes the pidfd.
    """

    def __init__(
        self,
        container_id: str,
        settings: Config,
        group: Group,
        program: bytes,
        options: CreateOptions,
        init: Process | None = None,
        network: NetworkSockets | None = None,
    ) -> None:
        self._id = container_id
        self._config = settings
        self._group = group
        self._program = program
        self._options = options
        self._channel: Channel | None = None
        self._is_ready = False
        self._network = network
        self._init = init or Process(-1, -1)
        self._companions = Companions()
        self._subject: Subject | None = None

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
        """The container's cgroup."""
        return self._group

    def adopt(
        self, pid: int, descriptor: int, channel: Channel, network: NetworkSockets | None = None
    ) -> None:
        """Take over the child that was just forked, with what is open of its network already."""
        self._init = Process(pid, descriptor)
        self._channel = channel
        self._network = network

    def tell(self, subject: "Subject | None") -> None:
        """Have hooks told of that."""
        self._subject = subject

    def abandon(self) -> None:
        """Close what the child has sent so far and nobody has got yet."""
        network = descriptors(self._network) if self._network is not None else ()
        close_all([fd for fd in (*network, self._init.console) if fd >= 0])

    def advance(self, kind: Kind) -> None:
        """Read what the child says up to a message of that kind; FailedPrecondition."""
        assert self._channel is not None
        while True:
            message = self._channel.receive()
            if message.kind is Kind.STEP and self._options.explain is not None:
                self._options.explain(message.text)
            elif message.kind is Kind.WARNING and self._options.warn is not None:
                self._options.warn(message.text)
            elif message.kind is Kind.NETWORK:
                self._network = NetworkSockets(*message.descriptors)
            elif message.kind is Kind.HOOKS:
                self._run_hooks("prestart")
                self._run_hooks("createRuntime")
                self._channel.send(Kind.PREPARED)
            elif message.kind is Kind.READY:
                self._is_ready = True
                if message.descriptors:
                    self._init = Process(self._init.pid, self._init.pidfd, message.descriptors[0])
            elif message.kind is Kind.ERROR or (
                message.kind is Kind.CLOSED and kind is not Kind.CLOSED
            ):
                self._fail(message)
            if message.kind is kind:
                return

    def start(self) -> None:
        """See `Task.start`."""
        if self._channel is None:
            raise FailedPrecondition(f"cannot start a container that has started: {self._id}")
        if not self._is_ready:
            self.advance(Kind.READY)
        with suppress(BrokenPipeError):  # then the end of file says so
            self._channel.send(Kind.START)
        self.advance(Kind.CLOSED)
        self._channel.close()
        self._channel = None
        self._run_hooks("poststart")

    def _run_hooks(self, kind: str) -> None:
        """Run those of the runtime; FailedPrecondition."""
        if self._subject is None or self._config.hooks is None:
            return
        from tiffin.runtime import hooks  # loaded by now

        try:
            hooks.run_of_runtime(kind, self._config.hooks, self._subject, self._init.pid)
        except Failed as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{error}: unknown") from None

    def exec(self, process: JsonObject, stdio: Stdio) -> Process:
        """See `Task.exec`.

        The caller collects the process once it ends: until all are collected, the kernel does not
        let the end of init be seen (pid_namespaces(7)).
        """
        container = Container(self._init.pidfd, self._group, self._config, self._program)
        warn = self._options.warn or _ignore
        made = execute_in(container, config.parse_process(process), stdio, warn)
        self._companions.add(made.pidfd)
        return made

    def kill(self, signal: int, *, every: bool = False) -> None:
        """See `Task.kill`; nothing happens if it has ended."""
        if every:
            self._group.signal(signal)
        else:
            pidfd.send_signal(self._init.pidfd, signal)

    def pause(self) -> None:
        """See `Task.pause`."""
        try:
            self._group.freeze()
        except OSError as error:
            raise FailedPrecondition(f"unable to freeze: {error}") from error

    def resume(self) -> None:
        """See `Task.resume`."""
        self._group.thaw()

    def update(self, resources: JsonObject) -> None:
        """See `Task.update`."""
        try:
            self._group.update(_with_default_devices(resources), self._options.warn or _ignore)
        except (OSError, ValueError) as error:
            raise _refusal(error)(f"failed to update container: {_plain(error)}") from error

    def stats(self) -> JsonObject:
        """See `Task.stats`."""
        return self._group.stats()

    def oom_kills(self) -> int:
        """See `Task.oom_kills`."""
        return self._group.oom_kills()

    def delete(self) -> None:
        """See `Task.delete`."""
        descriptor = self._init.pidfd
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if descriptor >= 0:
            pidfd.kill(descriptor)
        self._group.kill()
        self._companions.end()
        if descriptor >= 0:
            companions.end(descriptor)
            self._init = Process(self._init.pid, -1, self._init.console)
        self._group.remove()
        try:
            self._run_hooks("poststop")
        except FailedPrecondition as error:  # it is gone all the same
            (self._options.warn or _ignore)(str(error))
        self._subject = None

    def _fail(self, message: Message) -> None:
        reason = message.text
        close_all(message.descriptors)
        if message.kind is Kind.CLOSED:
            reason = "container init exited prematurely"
            if self._group.oom_kills():
                reason = "container init was OOM-killed (memory limit too low?)"
        raise FailedPrecondition(f"{CREATE_FAILED}{reason}: unknown")


def _shown(files: tuple[str, ...], layout: Layout) -> tuple[tuple[str, str], ...]:
    """Return (name of the hierarchy's directory, group's directory) for v1's `tasks` files."""
    places = {place for name, place in layout.v1.items() if not name.startswith("name=")}
    return tuple(
        (os.path.basename(place), os.path.dirname(file))
        for file in files
        for place in places
        if file.startswith(f"{place}/")
    )


def _subject(container_id: str, bundle: Path, settings: Config) -> "Subject | None":
    if settings.hooks is None:
        return None
    from tiffin.runtime.hooks import Subject  # few containers have hooks

    return Subject(container_id, str(bundle.absolute()), settings.annotations)


def _with_default_devices(resources: JsonObject) -> JsonObject:
    if not resources.get("devices"):
        return resources
    rules = resources["devices"]
    missing = [rule for rule in default_device_rules() if rule not in rules]
    return {**resources, "devices": [*rules, *missing]}


def _flags_text(flags: int) -> str:
    names = [name for name in dir(syscalls) if name.startswith("CLONE_NEW")]
    return " | ".join(name for name in names if getattr(syscalls, name) & flags) or "0"


def _refusal(error: OSError | ValueError) -> type[TiffinError]:
    """Return what a limit that could not be set is: the caller's fault, or that of the moment."""
    if isinstance(error, ValueError) or error.errno in (errno.EINVAL, errno.ERANGE, errno.ENODEV):
        return InvalidArgument
    return Conflict if error.errno == errno.EBUSY else FailedPrecondition


def _plain(error: OSError | ValueError) -> str:
    """Say what failed as other runtimes do: `write /sys/…: invalid argument`."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def _ignore(_: str) -> None:
    return
