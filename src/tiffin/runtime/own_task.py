"""A task of our own runtime: one container's processes from their making to their end."""

import errno
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING

from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument, TiffinError
from tiffin.linux import pidfd
from tiffin.linux.cgroups.group import Group
from tiffin.runtime import companions, config
from tiffin.runtime.companions import Companions
from tiffin.runtime.config import Config
from tiffin.runtime.config_process import parse_process
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.defaults import default_device_rules
from tiffin.runtime.exec import Container, execute_in
from tiffin.runtime.handshake import Channel, Kind, Message, close_all
from tiffin.runtime.network_sockets import descriptors
from tiffin.runtime.operation import Failed
from tiffin.runtime.programs import Programs
from tiffin.runtime.runtime import CreateOptions, NetworkSockets, Process, Stdio

if TYPE_CHECKING:
    from tiffin.runtime.hooks import Subject

CREATE_FAILED = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: "
)
"""What Docker's clients are used to read before the reason, and what some tools look for."""


class OwnTask:
    """Fulfils `runtime.Task`.

    Descriptors in `init` and `network` belong to the caller; `delete` closes the pidfd.
    """

    def __init__(
        self,
        container_id: str,
        bundle: Path,
        group: Group,
        programs: Programs,
        options: CreateOptions,
        init: Process | None = None,
        network: NetworkSockets | None = None,
    ) -> None:
        self._id = container_id
        self._bundle = bundle
        self._group = group
        self._programs = programs
        self._options = options
        self._channel: Channel | None = None
        self._is_ready = False
        self._network = network
        self._init = init or Process(-1, -1)
        self._companions = Companions()
        self._subject: Subject | None = None

    @cached_property
    def config(self) -> Config:
        """The configuration, read when it is needed: few tasks have to look again."""
        return config.parse(config.read(self._bundle), self._bundle)

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
            elif message.kind is Kind.INVALID:
                raise InvalidArgument(message.text)
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
        if self._subject is None or self.config.hooks is None:
            return
        from tiffin.runtime import hooks  # loaded by now

        try:
            hooks.run_of_runtime(kind, self.config.hooks, self._subject, self._init.pid)
        except Failed as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{error}: unknown") from None

    def exec(self, process: JsonObject, stdio: Stdio) -> Process:
        """See `Task.exec`.

        The caller collects the process once it ends: until all are collected, the kernel does not
        let the end of init be seen (pid_namespaces(7)).
        """
        program = self._programs.program(self.config.seccomp)
        container = Container(
            self._init.pidfd, self._group, self.config, program,
            subject=subject_of(self._id, self._options.bundle or self._bundle, self.config),
            init_pid=self._init.pid,
        )  # fmt: skip
        warn = self._options.warn or ignore
        made = execute_in(container, parse_process(process), stdio, warn)
        self._companions.add(made.pidfd)
        return made

    def kill(self, signal: int, *, every: bool = False) -> None:
        """See `Task.kill`; nothing happens if it has ended."""
        if every:
            self._group.signal(signal)
        else:
            pidfd.send_signal(self._init.pidfd, signal)
        # What stands frozen (v1) would not even die; nothing of the program runs any more.
        if signal == SIGKILL and self._group.is_frozen():
            self._group.thaw()

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
            self._group.update(with_default_devices(resources), self._options.warn or ignore)
        except (OSError, ValueError) as error:
            raise refusal(error)(f"failed to update container: {plain(error)}") from error

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
            (self._options.warn or ignore)(str(error))
        self._subject = None

    def _fail(self, message: Message) -> None:
        reason = message.text
        close_all(message.descriptors)
        if message.kind is Kind.CLOSED:
            reason = "container init exited prematurely"
            if self._group.oom_kills():
                reason = "container init was OOM-killed (memory limit too low?)"
        raise FailedPrecondition(f"{CREATE_FAILED}{reason}: unknown")


def with_default_devices(resources: JsonObject) -> JsonObject:
    """Return the resources with the devices that every container may use."""
    if not resources.get("devices"):
        return resources
    rules = resources["devices"]
    missing = [rule for rule in default_device_rules() if rule not in rules]
    return {**resources, "devices": [*rules, *missing]}


def refusal(error: OSError | ValueError) -> type[TiffinError]:
    """Return what a limit that could not be set is: the caller's fault, or that of the moment."""
    if isinstance(error, ValueError) or error.errno in (errno.EINVAL, errno.ERANGE, errno.ENODEV):
        return InvalidArgument
    return Conflict if error.errno == errno.EBUSY else FailedPrecondition


def plain(error: OSError | ValueError) -> str:
    """Say what failed as other runtimes do: `write /sys/…: invalid argument`."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def ignore(_: str) -> None:
    """Take a warning that nobody wants."""
    return


def subject_of(container_id: str, bundle: Path, settings: Config) -> "Subject | None":
    """Return what hooks, and agents that decide on system calls, are told; None without them."""
    if settings.hooks is None and not (settings.seccomp or {}).get("listenerPath"):
        return None
    from tiffin.runtime.hooks import Subject  # few containers have hooks

    return Subject(container_id, str(bundle.absolute()), settings.annotations)
