"""From a configuration to ordered operations, without touching the kernel.

What follows what, and why: the child enters its cgroups when its file system has been begun, since
the parent makes them at the same time; a cgroup namespace comes after that, its root being where
the caller is. The file system is made in the new mount namespace with the host's /proc still at
hand (sysctls, labels and the OOM score are written there, where no image can put something else).
Privileges go last, and the filter after them, since from then on the child lives under it, too.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiffin.errors import InvalidArgument
from tiffin.linux.namespaces import KINDS
from tiffin.linux.syscalls import (
    SECCOMP_FILTER_FLAG_LOG,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    SECCOMP_FILTER_FLAG_TSYNC,
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
)
from tiffin.runtime.config import Config
from tiffin.runtime.config_process import ProcessConfig
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.defaults import DEFAULT_DEVICES, DEFAULT_LINKS
from tiffin.runtime.device_operations import MakeDevice, MakeSymlink
from tiffin.runtime.hiding_operations import MakeMountReadonly, MakeReadonly, MaskPath
from tiffin.runtime.mount_operations import BindConsole, MountCgroups, MountInside
from tiffin.runtime.namespace_operations import (
    AwaitParent,
    BecomeRoot,
    JoinCgroups,
    JoinNamespace,
    NewKeyring,
    RaiseLoopback,
    SetHostName,
    SetOomScore,
    SetSysctl,
    SetTimeOffsets,
    Unshare,
)
from tiffin.runtime.operation import Operation
from tiffin.runtime.plan_checks import check_mount, check_sysctl
from tiffin.runtime.privilege_operations import (
    DropExtra,
    LimitCapabilities,
    LoadFilter,
    NoNewPrivileges,
    SetCapabilities,
    SetIdentity,
)
from tiffin.runtime.process_operations import (
    DEFAULT_UMASK,
    ChangeDirectory,
    ControlTerminal,
    NewSession,
    OwnStdio,
    SetLabel,
    SetRlimit,
    SetUmask,
)
from tiffin.runtime.root_operations import (
    MakeRootReadonly,
    MakeWorkingDirectory,
    MountRoot,
    MoveRoot,
    PivotRoot,
    PrivateParent,
    PropagateRoot,
    Separate,
)
from tiffin.spec.mount import Mount

if TYPE_CHECKING:
    from tiffin.runtime.hooks import Subject

FILTER_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": SECCOMP_FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the parent makes; of the cgroups only the names are known at the time of planning."""

    join_files: tuple[str, ...] = ()
    shown: tuple[tuple[str, str], ...] = ()
    """v1: (directory name, directory on the host); () for v2."""
    root_fd: int = -1
    """The root file system as a detached mount, if the child may not make it itself."""
    mounts: Mapping[int, int] = field(default_factory=dict)
    """Likewise of `Config.mounts`, by place."""
    keyring: bool = True
    pivot: bool = True
    """See `CreateOptions`."""
    subject: "Subject | None" = None
    """What hooks are told, if there are any."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Ordered operations of the child.

    `enter` comes first; then the sockets of
    the network namespace are handed out; `build` makes the file system; `terminal` follows the
    console's making, `pivot` it; `become` turns it into the user's process up to the gate, `last`
    is what follows between the gate and the program.
    """

    enter: tuple[Operation, ...]
    build: tuple[Operation, ...]
    pivot: tuple[Operation, ...]
    become: tuple[Operation, ...]
    last: tuple[Operation, ...]


def plan(container_id: str, config: Config, prepared: Prepared, filter_program: bytes) -> Plan:
    """Plan a container; InvalidArgument for what cannot be done."""
    if not config.has_new("mount"):
        raise InvalidArgument("config.json: linux.namespaces must have a new mount namespace")
    process = config.process
    return Plan(
        enter=tuple(_enter(container_id, config, prepared)),
        build=(
            *_agent(config.seccomp, prepared.subject, "creating"),
            *_build(config, prepared),
        ),
        pivot=(*_hooks_before_pivot(config, prepared), *_pivot(config, prepared)),
        become=tuple(_become(process, config.personality, needs_filter=bool(filter_program))),
        last=(
            *_last(process, filter_program, config.seccomp),
            *_hooks_before_program(config, prepared),
        ),
    )


def plan_exec(
    process: ProcessConfig,
    join_files: tuple[str, ...],
    config: Config,
    filter_program: bytes,
    subject: "Subject | None" = None,
    init_pid: int = 0,
) -> Plan:
    """Plan a further process of a running container; it joins the namespaces after `enter`."""
    groups = (JoinCgroups(join_files),) if join_files else ()
    initial, final = ((step,) if step is not None else () for step in process.affinity)
    become = _become(process, config.personality, needs_filter=bool(filter_program))
    last = _last(process, filter_program, config.seccomp)
    return Plan(
        enter=(
            *initial,
            *groups,
            *final,
            NewSession(),
            *_through_proc(process),
            *_agent(config.seccomp, subject, "running", init_pid),
        ),
        build=(),
        pivot=(),
        become=tuple(become),
        last=tuple(last),
    )


def clone_flags(config: Config) -> int:
    """Return the CLONE_NEW… flags of the namespaces that the child is born in."""
    # The cgroup namespace must wait until the child stands in its groups.
    return sum(
        KINDS[item.kind].flag
        for item in config.namespaces
        if not item.path and item.kind not in ("cgroup", "time")
    )


def _enter(container_id: str, config: Config, prepared: Prepared) -> Sequence[Operation]:
    steps: list[Operation] = []
    if _joins_early(config):
        steps += _groups(config, prepared)
    steps.append(NewSession())
    steps += [
        JoinNamespace(item.kind, item.path)
        for item in config.namespaces
        if item.path and item.kind not in ("pid", "user")  # in those it was born
    ]
    if config.has_new("time"):
        steps.append(Unshare(("time",)))  # entered by the exec that follows
        if config.time_offsets:
            steps.append(SetTimeOffsets(config.time_offsets))
    if config.has_new("network"):
        steps.append(RaiseLoopback())
    if config.hostname and config.has_new("uts"):
        steps.append(SetHostName(config.hostname))
    if config.domainname and config.has_new("uts"):
        steps.append(SetHostName(config.domainname, domain=True))
    if prepared.keyring:
        steps.append(NewKeyring(f"_ses.{container_id}"))
    return [*steps, *_through_proc(config.process)]


def _joins_early(config: Config) -> bool:
    # The root of a user namespace may not enter groups that the host's root owns.
    return config.namespace("user") is not None


def _groups(config: Config, prepared: Prepared) -> list[Operation]:
    steps: list[Operation] = [AwaitParent()]
    if prepared.join_files:
        steps.append(JoinCgroups(prepared.join_files))
    if config.has_new("cgroup"):
        steps.append(Unshare(("cgroup",)))
    return steps


def _through_proc(process: ProcessConfig) -> list[Operation]:
    steps: list[Operation] = []
    if process.oom_score_adj is not None:
        steps.append(SetOomScore(process.oom_score_adj))
    if process.apparmor_profile and process.apparmor_profile != "unconfined":
        steps.append(SetLabel("apparmor", process.apparmor_profile))
    if process.selinux_label:
        steps.append(SetLabel("selinux", process.selinux_label))
    return steps


def _build(config: Config, prepared: Prepared) -> Sequence[Operation]:
    steps: list[Operation] = []
    if "shared" in config.root_propagation:
        steps.append(PrivateParent(config.root))
    else:
        steps.append(Separate())
    steps.append(MountRoot(config.root, config.rootfs, prepared.root_fd))
    if config.namespace("user") is not None:
        # Not before: the way to that place is open to the host's root alone.
        steps.append(BecomeRoot())
    for name, value in config.sysctl:
        check_sysctl(config, name)
        steps.append(SetSysctl(name, value))
    has_own_dev = True
    groups = [] if _joins_early(config) else _groups(config, prepared)
    for index, item in enumerate(config.mounts):
        check_mount(item.fstype, item.source, item.target)
        if item.fstype.startswith("cgroup"):
            steps, groups = [*steps, *groups], []
        if item.fstype == "cgroup" and prepared.shown:
            steps.append(MountCgroups(item, prepared.shown))
        elif item.fstype == "cgroup":
            steps.append(MountInside(Mount("cgroup2", "cgroup2", item.options, item.target)))
        else:
            steps.append(_mount(item, prepared.mounts.get(index, -1)))
        if item.fstype == "bind" and os.path.normpath(item.target) == "/dev":
            has_own_dev = False
    if has_own_dev:
        steps += _devices(config)
    return [*steps, *groups]


def _mount(item: Mount, made: int) -> Operation:
    if _is_readonly_dev(item):
        # It is made read-only when what belongs into it is there.
        words = tuple(word for word in item.options if word != "ro")
        item = Mount(item.fstype, item.source, words, item.target)
    if "tmpcopyup" in item.options:
        import tiffin.fs.copy  # noqa: F401  # the child, whose file system changes, loads nothing
    return MountInside(item, made)


def _is_readonly_dev(item: Mount) -> bool:
    return (
        item.fstype == "tmpfs"
        and os.path.normpath(item.target) == "/dev"
        and ("ro" in item.options)
    )


def _devices(config: Config) -> list[Operation]:
    by_path = {item.path: item for item in (*DEFAULT_DEVICES, *config.devices)}
    steps: list[Operation] = [MakeDevice(item) for item in by_path.values()]
    steps += [MakeSymlink(target, path) for target, path in DEFAULT_LINKS]
    return steps


def _hooks_before_pivot(config: Config, prepared: Prepared) -> list[Operation]:
    if config.hooks is None or prepared.subject is None:
        return []
    from tiffin.runtime.hooks import AwaitHooks, RunHooks  # few containers have some

    steps: list[Operation] = []
    if config.hooks.has_runtime_hooks:
        steps.append(AwaitHooks())
    if config.hooks.create_container:
        hooks = config.hooks.create_container
        steps.append(RunHooks("createContainer", "creating", hooks, prepared.subject))
    return steps


def _hooks_before_program(config: Config, prepared: Prepared) -> list[Operation]:
    if config.hooks is None or prepared.subject is None or not config.hooks.start_container:
        return []
    from tiffin.runtime.hooks import RunHooks

    hooks = config.hooks.start_container
    return [RunHooks("startContainer", "created", hooks, prepared.subject)]


def _pivot(config: Config, prepared: Prepared) -> Sequence[Operation]:
    steps: list[Operation] = []
    if config.process.terminal:
        steps.append(BindConsole())
    steps += [MakeReadonly(path) for path in config.readonly_paths]
    steps += [MaskPath(path) for path in dict.fromkeys(config.masked_paths)]
    if any(_is_readonly_dev(item) for item in config.mounts):
        steps.append(MakeMountReadonly("/dev"))
    steps.append(PivotRoot() if prepared.pivot else MoveRoot())
    steps.append(MakeWorkingDirectory(config.process.cwd))
    if config.root_readonly:
        steps.append(MakeRootReadonly())
    if config.root_propagation:
        steps.append(PropagateRoot(config.root_propagation))
    return steps


def _become(
    process: ProcessConfig, personality: Operation | None, *, needs_filter: bool
) -> Sequence[Operation]:
    steps: list[Operation] = []
    if process.terminal:
        steps.append(ControlTerminal())
    steps.append(OwnStdio(process.user.uid))
    steps += [SetRlimit(limit) for limit in process.rlimits]
    steps += process.scheduling
    if personality is not None:
        steps.append(personality)
    umask = process.user.umask
    extra = "CAP_SYS_ADMIN" if needs_filter and not process.no_new_privileges else ""
    steps += [
        SetUmask(DEFAULT_UMASK if umask is None else umask),
        ChangeDirectory(process.cwd),
        LimitCapabilities(process.capabilities.bounding),
        SetIdentity(process.user),
        SetCapabilities(process.capabilities, extra),
        ChangeDirectory(process.cwd, last=True),
    ]
    if process.no_new_privileges:
        steps.append(NoNewPrivileges())
    return steps


def _asks_agent(seccomp: JsonObject | None) -> bool:
    # Without a listener the compiler has refused what asks one.
    if not seccomp or not seccomp.get("listenerPath"):
        return False
    from tiffin.runtime import seccomp_listener

    return seccomp_listener.check(seccomp)


def _agent(
    seccomp: JsonObject | None, subject: "Subject | None", status: str, init_pid: int = 0
) -> tuple[Operation, ...]:
    if subject is None or not seccomp or not _asks_agent(seccomp):
        return ()
    from tiffin.runtime.seccomp_listener import ConnectListener

    path, metadata = str(seccomp["listenerPath"]), str(seccomp.get("listenerMetadata") or "")
    return (ConnectListener(path, metadata, subject, status, init_pid),)


def _last(
    process: ProcessConfig, filter_program: bytes, seccomp: JsonObject | None
) -> Sequence[Operation]:
    if not filter_program:
        return []
    words = (seccomp or {}).get("flags")
    flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW if words is None else 0
    for word in words or ():
        if word not in FILTER_FLAGS:
            raise InvalidArgument(f"linux.seccomp.flags: unknown flag {word!r}")
        flags |= FILTER_FLAGS[word]
    steps: list[Operation] = [LoadFilter(filter_program, flags)]
    if _asks_agent(seccomp):
        from tiffin.runtime.seccomp_listener import LoadAskingFilter  # few containers do

        steps = [LoadAskingFilter(filter_program, flags)]
    if not process.no_new_privileges:
        steps.append(DropExtra(process.capabilities))
    return steps
