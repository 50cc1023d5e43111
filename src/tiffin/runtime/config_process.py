"""`process` of an OCI runtime `config.json`, also of an exec (runtime-spec: config.md#process)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiffin.errors import InvalidArgument
from tiffin.linux.rlimits import Rlimit
from tiffin.runtime.config_reader import JsonObject, Reader

if TYPE_CHECKING:
    from tiffin.runtime.operation import Operation


@dataclass(frozen=True, slots=True)
class User:
    """`process.user`; `umask` is None for the default."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()
    umask: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """`process.capabilities`: names of each set."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """`process`: the program and what it may."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    rows: int = 0
    columns: int = 0
    user: User = User()
    capabilities: Capabilities = Capabilities()
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    scheduling: "tuple[Operation, ...]" = ()
    affinity: "tuple[Operation | None, Operation | None]" = (None, None)
    """Of an exec: before it enters the control groups, and after."""


def parse_process(document: JsonObject) -> ProcessConfig:
    """Read an OCI `process` object; InvalidArgument."""
    process = Reader(document, "process")
    user, size = process.section("user"), process.section("consoleSize")
    capabilities = process.section("capabilities")
    args = process.strings("args")
    if not args:
        raise InvalidArgument("process.args must not be empty")
    cwd = process.text("cwd", "/")
    if not cwd.startswith("/"):
        raise InvalidArgument(f"process.cwd must be an absolute path, not {cwd!r}")
    return ProcessConfig(
        args=args,
        env=process.strings("env"),
        cwd=cwd,
        terminal=process.flag("terminal"),
        rows=size.integer("height"),
        columns=size.integer("width"),
        user=User(
            user.integer("uid"),
            user.integer("gid"),
            user.integers("additionalGids"),
            user.integer("umask") if user.value.get("umask") is not None else None,
        ),
        capabilities=Capabilities(
            bounding=capabilities.strings("bounding"),
            effective=capabilities.strings("effective"),
            permitted=capabilities.strings("permitted"),
            inheritable=capabilities.strings("inheritable"),
            ambient=capabilities.strings("ambient"),
        ),
        rlimits=tuple(
            Rlimit(item.text("type"), item.integer("soft"), item.integer("hard"))
            for item in process.sections("rlimits")
        ),
        no_new_privileges=process.flag("noNewPrivileges"),
        oom_score_adj=(
            process.integer("oomScoreAdj") if process.value.get("oomScoreAdj") is not None else None
        ),
        apparmor_profile=process.text("apparmorProfile"),
        selinux_label=process.text("selinuxLabel"),
        scheduling=_scheduling(process.section("scheduler"), process.section("ioPriority")),
        affinity=_affinity(process.section("execCPUAffinity")),
    )


def _scheduling(scheduler: Reader, io_priority: Reader) -> "tuple[Operation, ...]":
    if not (scheduler.value or io_priority.value):
        return ()
    from tiffin.runtime import scheduling  # few containers need it

    steps = []
    if scheduler.value:
        names = ("nice", "priority", "runtime", "deadline", "period")
        numbers = [scheduler.integer(name) for name in names]
        policy, flags = scheduler.text("policy"), scheduler.strings("flags")
        steps.append(scheduling.scheduler(policy, flags, numbers))
    if io_priority.value:
        name, priority = io_priority.text("class"), io_priority.integer("priority")
        steps.append(scheduling.io_priority(name, priority))
    return tuple(steps)


def _affinity(item: Reader) -> "tuple[Operation | None, Operation | None]":
    if not item.value:
        return None, None
    from tiffin.runtime.scheduling import affinity

    initial, final = (
        affinity(item.text(key), f"{item.name}.{key}") if item.text(key) else None
        for key in ("initial", "final")
    )
    return initial, final
