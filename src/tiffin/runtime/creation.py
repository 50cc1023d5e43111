"""One `create` of our own runtime on its way, with a child that is forked for it."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from tiffin.errors import FailedPrecondition
from tiffin.linux import syscalls
from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.layout import Layout
from tiffin.runtime import child, companions
from tiffin.runtime.child import ChildOptions
from tiffin.runtime.config import Config
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.exec import clone_in, clone_in_user
from tiffin.runtime.handshake import Kind, pair
from tiffin.runtime.own_task import (
    CREATE_FAILED,
    OwnTask,
    ignore,
    plain,
    refusal,
    subject_of,
    with_default_devices,
)
from tiffin.runtime.plan import Prepared, clone_flags, plan
from tiffin.runtime.programs import Programs
from tiffin.runtime.runtime import CreateOptions, Stdio
from tiffin.spec.id_mapping import IdMappings


@dataclass(slots=True)
class Creation:
    """One `create` on its way; everything made is registered in `undo`."""

    container_id: str
    directory: Path
    bundle: Path
    """What hooks are told of it."""
    config: Config
    group: Group
    options: CreateOptions
    undo: ExitStack
    programs: Programs

    def run(self, program: bytes, stdio: Stdio, layout: Layout) -> OwnTask:
        """Make the task, up to the point before its program."""
        resources = with_default_devices(self.config.resources or {})
        is_born_in_group = bool(self.group.directory())
        if is_born_in_group:
            make_group(self.group, resources, self.options, self.undo)
        scope = self.undo.enter_context(ExitStack())
        root_fd, made = self._mount_outside(scope)
        files = self.group.join_files(resources)
        subject = subject_of(self.container_id, self.bundle, self.config)
        prepared = Prepared(
            files, shown(files, layout), root_fd, made,
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
        explain_child(self.options, clone_flags(self.config), pid)
        if not is_born_in_group:
            make_group(self.group, resources, self.options, self.undo)
        if self.config.has_new("user"):
            self._map_ids(pid)
        if self.config.namespace("user") is not None:
            from tiffin.runtime.outside import grant

            grant(self.config, pid)
        with suppress(BrokenPipeError):  # what it died of follows
            ours.send(Kind.PREPARED)
        task = OwnTask(self.container_id, self.directory, self.group, self.programs, self.options)
        task.tell(subject)
        task.adopt(pid, descriptor, ours)
        self.undo.callback(task.abandon)
        task.advance(Kind.NETWORK if wants_network else Kind.READY)
        if wants_network and (self.config.process.terminal or self.config.hooks is not None):
            task.advance(Kind.READY)
        return task

    def _mount_outside(self, scope: ExitStack) -> tuple[int, Mapping[int, int]]:
        if self.config.rootfs:
            os.makedirs(self.config.root, exist_ok=True)
        if not self.config.needs_outside:
            return -1, {}
        from tiffin.runtime import outside  # for few containers

        try:
            found = outside.mount_outside(self.config, scope)
        except OSError as error:
            raise FailedPrecondition(f"{CREATE_FAILED}{plain(error)}: unknown") from error
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
            raise FailedPrecondition(f"{CREATE_FAILED}{plain(error)}: unknown") from error


def make_group(
    group: Group, resources: JsonObject, options: CreateOptions, undo: ExitStack
) -> None:
    """Make the container's control group; FailedPrecondition, InvalidArgument."""
    try:
        group.create(resources, options.warn or ignore)
    except (OSError, ValueError) as error:
        raise refusal(error)(
            f"{CREATE_FAILED}unable to apply cgroup configuration: {plain(error)}: unknown"
        ) from error
    undo.callback(group.remove)
    _explain(
        options,
        f"make the container's control group {group.path} with its limits",
        f'mkdir("…{group.path}"); write(limits of {", ".join(sorted(resources))})',
    )


def shown(files: tuple[str, ...], layout: Layout) -> tuple[tuple[str, str], ...]:
    """Return (name of the hierarchy's directory, group's directory) for v1's `tasks` files."""
    places = {place for name, place in layout.v1.items() if not name.startswith("name=")}
    return tuple(
        (os.path.basename(place), os.path.dirname(file))
        for file in files
        for place in places
        if file.startswith(f"{place}/")
    )


def explain_child(options: CreateOptions, flags: int, pid: int) -> None:
    """Report the fork of the first process."""
    if options.explain is not None:
        step = "make the container's first process in namespaces of its own"
        _explain(options, step, f"clone3({_flags_text(flags)}) = {pid}")


def _explain(options: CreateOptions, step: str, call: str) -> None:
    if options.explain is not None:
        options.explain(json.dumps({"step": step, "call": call}, ensure_ascii=False))


def _flags_text(flags: int) -> str:
    names = [name for name in dir(syscalls) if name.startswith("CLONE_NEW")]
    return " | ".join(name for name in names if getattr(syscalls, name) & flags) or "0"
