"""Our own runtime: namespaces, cgroups and mounts straight from the kernel.

`create` forks the child into its namespaces (`handshake.py` shows the conversation), or takes the
one that `prepare` has made ahead (`spare.py`); `start` opens the gate. A task holds: the child's
pidfd, the channel until the program runs, the cgroup. Whatever fails before `create` returns is
undone: the child is killed and the cgroup removed.
"""

from contextlib import ExitStack, suppress
from pathlib import Path

from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import Layout, detect
from tiffin.runtime import companions, config, spare
from tiffin.runtime.config import Config
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.creation import Creation, explain_child, make_group, shown
from tiffin.runtime.handshake import Kind
from tiffin.runtime.own_task import OwnTask, subject_of, with_default_devices
from tiffin.runtime.plan import Plan, Prepared, clone_flags, plan
from tiffin.runtime.programs import Programs
from tiffin.runtime.runtime import CreateOptions, NetworkSockets, Process, Stdio
from tiffin.runtime.spare import Order, Spare


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
    ) -> OwnTask:
        """See `Runtime.create`.

        With `network_sockets` and no terminal it returns as soon as the sockets are there: the
        child goes on mounting while the network is plugged in, and `start` waits for it.
        """
        with ExitStack() as undo:
            ready = self._order_spare(undo, container_id, bundle, stdio, options)
            document = config.read(bundle)
            if ready is not None and spare.fits(document):
                task = self._take(ready, undo, document, container_id, bundle, stdio, options)
                undo.pop_all()
                return task
            if ready is not None:
                ready.discard()
            settings = config.parse(document, bundle)
            program = self._programs.program(settings.seccomp)
            group = self._group(container_id, settings.cgroups_path)
            creation = Creation(container_id, bundle, options.bundle or bundle, settings, group, options,
                                 undo, self._programs)  # fmt: skip
            task = creation.run(program, stdio, self.layout)
            undo.pop_all()
            return task

    def adopt(
        self,
        container_id: str,
        bundle: Path,
        init: Process,
        network: NetworkSockets | None,
        options: CreateOptions,
    ) -> OwnTask:
        """See `Runtime.adopt`."""
        document = config.read(bundle)
        group = self._group(container_id, str((document.get("linux") or {}).get("cgroupsPath", "")))
        task = OwnTask(container_id, bundle, group, self._programs, options, init, network)
        if document.get("hooks"):
            settings = config.parse(document, bundle)
            task.tell(subject_of(container_id, options.bundle or bundle, settings))
        return task

    def _take(
        self,
        ready: Spare,
        undo: ExitStack,
        document: JsonObject,
        container_id: str,
        bundle: Path,
        stdio: Stdio,
        options: CreateOptions,
    ) -> OwnTask:
        """Go on with a spare, which reads the configuration itself meanwhile."""
        linux = document["linux"]
        group = self._group(container_id, linux.get("cgroupsPath") or "")
        network = ready.take(network=options.network_sockets, dns=options.dns_sockets)
        undo.callback(ready.channel.close)
        undo.callback(companions.end, ready.pidfd)
        task = OwnTask(container_id, bundle, group, self._programs, options)
        task.adopt(ready.pid, ready.pidfd, ready.channel, network)
        undo.callback(task.abandon)
        explain_child(options, clone_flags(task.config) if options.explain else 0, ready.pid)
        make_group(group, with_default_devices(linux.get("resources") or {}), options, undo)
        with suppress(BrokenPipeError):  # what it died of follows
            ready.channel.send(Kind.PREPARED)
        if stdio.terminal or not options.network_sockets:
            task.advance(Kind.READY)
        return task

    def _group(self, container_id: str, path: str) -> Group:
        return open_group(path or f"tiffin/{container_id}", self.layout)

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
        group = self._group(container_id, settings.cgroups_path)
        files = group.join_files(with_default_devices(settings.resources or {}))
        prepared = Prepared(files, shown(files, self.layout))
        return plan(container_id, settings, prepared, self._programs.program(settings.seccomp))
