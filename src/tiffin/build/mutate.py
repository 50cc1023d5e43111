"""What the config-only instructions do to an image's config, and how history tells it.

Pure functions, shared by the builder and by `--change` of commit and import.
"""

import json
import posixpath
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import singledispatch

from tiffin.build.dockerfile import instructions as ins
from tiffin.build.dockerfile.source import SyntaxProblem
from tiffin.spec.container_config import ContainerConfig, Healthcheck

DEFAULT_SHELL = ("/bin/sh", "-c")
_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/([A-Za-z]+))?")
_REALTIME = re.compile(r"RTM(?:IN(?:\+(\d+))?|AX(?:-(\d+))?)")
_REALTIME_COUNT = int(signal.SIGRTMAX) - int(signal.SIGRTMIN)

Expand = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Edited:
    """The new config and the text of its history entry."""

    config: ContainerConfig
    created_by: str


def edit(
    instruction: ins.Instruction, config: ContainerConfig, expand: Expand, *, cmd_is_set: bool
) -> Edited:
    """Apply a config-only instruction; SyntaxProblem.

    `cmd_is_set` tells that CMD stood earlier in the same Dockerfile: otherwise ENTRYPOINT drops
    the CMD that came with the base image.
    """
    if isinstance(instruction, ins.Entrypoint) and not cmd_is_set:
        config = replace(config, cmd=None)
    return _edit(instruction, config, expand)


def argv(command: ins.Command, config: ContainerConfig) -> tuple[str, ...]:
    """Return the argument vector of a command, shell form wrapped in the image's shell."""
    if not command.is_shell:
        return command.arguments
    return (*(config.shell or DEFAULT_SHELL), command.line)


def environment(config: ContainerConfig) -> dict[str, str]:
    """Return the config's environment as a mapping."""
    return dict(item.partition("=")[::2] for item in config.env)


def joined_path(current: str, path: str) -> str:
    """Return WORKDIR's meaning of `path`: relative to the current one, cleaned, absolute."""
    joined = posixpath.join("/", current, path)
    return "/" + posixpath.normpath(joined).lstrip("/")


@singledispatch
def _edit(instruction: ins.Instruction, _config: ContainerConfig, _expand: Expand) -> Edited:
    raise TypeError(f"{instruction.keyword} changes more than the config")


@_edit.register
def _(instruction: ins.Cmd, config: ContainerConfig, _expand: Expand) -> Edited:
    command = argv(instruction.command, config)
    return Edited(replace(config, cmd=command), f"CMD {_go_quoted(command)}")


@_edit.register
def _(instruction: ins.Entrypoint, config: ContainerConfig, _expand: Expand) -> Edited:
    command = argv(instruction.command, config)
    return Edited(replace(config, entrypoint=command), f"ENTRYPOINT {_go_quoted(command)}")


@_edit.register
def _(instruction: ins.Env, config: ContainerConfig, expand: Expand) -> Edited:
    pairs = [(expand(name), expand(value)) for name, value in instruction.pairs]
    if not all(name for name, _ in pairs):
        raise SyntaxProblem("ENV names can not be blank")
    merged = environment(config) | dict(pairs)
    env = tuple(f"{name}={value}" for name, value in merged.items())
    return Edited(replace(config, env=env), "ENV " + _assignments(pairs))


@_edit.register
def _(instruction: ins.Label, config: ContainerConfig, expand: Expand) -> Edited:
    pairs = [(expand(name), expand(value)) for name, value in instruction.pairs]
    if not all(name for name, _ in pairs):
        raise SyntaxProblem("LABEL names can not be blank")
    return Edited(replace(config, labels={**config.labels, **dict(pairs)}),
                  "LABEL " + _assignments(pairs))  # fmt: skip


@_edit.register
def _(instruction: ins.Expose, config: ContainerConfig, expand: Expand) -> Edited:
    added = [port for spec in instruction.ports for word in expand(spec).split()
             for port in exposed_ports(word)]  # fmt: skip
    ports = tuple(dict.fromkeys((*config.exposed_ports, *added)))
    shown = " ".join(f"{port}:{{}}" for port in sorted(set(added)))
    return Edited(replace(config, exposed_ports=ports), f"EXPOSE map[{shown}]")


@_edit.register
def _(instruction: ins.Volume, config: ContainerConfig, expand: Expand) -> Edited:
    paths = [expand(path) for path in instruction.paths]
    if not all(paths):
        raise SyntaxProblem("VOLUME specified can not be an empty string")
    volumes = tuple(dict.fromkeys((*config.volumes, *paths)))
    return Edited(replace(config, volumes=volumes), f"VOLUME [{' '.join(paths)}]")


@_edit.register
def _(instruction: ins.User, config: ContainerConfig, expand: Expand) -> Edited:
    user = expand(instruction.user)
    return Edited(replace(config, user=user), f"USER {user}")


@_edit.register
def _(instruction: ins.Workdir, config: ContainerConfig, expand: Expand) -> Edited:
    path = joined_path(config.working_dir, expand(instruction.path))
    return Edited(replace(config, working_dir=path), f"WORKDIR {path}")


@_edit.register
def _(instruction: ins.Stopsignal, config: ContainerConfig, expand: Expand) -> Edited:
    name = expand(instruction.signal)
    if not is_signal(name):
        raise SyntaxProblem(f"invalid signal: {name}", token=name)
    return Edited(replace(config, stop_signal=name), f"STOPSIGNAL {name}")


@_edit.register
def _(instruction: ins.Shell, config: ContainerConfig, _expand: Expand) -> Edited:
    return Edited(replace(config, shell=instruction.shell),
                  f"SHELL [{' '.join(instruction.shell)}]")  # fmt: skip


@_edit.register
def _(instruction: ins.Healthcheck, config: ContainerConfig, _expand: Expand) -> Edited:
    command = instruction.command
    if command is None:
        test: tuple[str, ...] = ("NONE",)
    elif command.is_shell:
        test = ("CMD-SHELL", command.line)
    else:
        test = ("CMD", *command.arguments)
    check = Healthcheck(test, instruction.interval_ns, instruction.timeout_ns,
                        instruction.start_period_ns, instruction.start_interval_ns,
                        instruction.retries)  # fmt: skip
    return Edited(replace(config, healthcheck=check),
                  "HEALTHCHECK " + instruction.text.split(None, 1)[1])  # fmt: skip


@_edit.register
def _(instruction: ins.Onbuild, config: ContainerConfig, _expand: Expand) -> Edited:
    return Edited(replace(config, on_build=(*config.on_build, instruction.trigger)),
                  f"ONBUILD {instruction.trigger}")  # fmt: skip


def exposed_ports(spec: str) -> list[str]:
    """Return `port/protocol` for every port of `8080`, `53/udp` or `8000-8010/tcp`."""
    match = _PORT.fullmatch(spec)
    if match is None:
        raise SyntaxProblem(f"invalid containerPort: {spec}", token=spec)
    first = int(match[1])
    last = int(match[2] or first)
    protocol = (match[3] or "tcp").lower()
    if protocol not in ("tcp", "udp", "sctp"):
        raise SyntaxProblem(f"invalid proto: {match[3]}", token=spec)
    if not first <= last <= 65535:
        raise SyntaxProblem(f"invalid containerPort: {spec}", token=spec)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def is_signal(name: str) -> bool:
    """Tell whether `name` is a signal as STOPSIGNAL takes it: `9`, `KILL`, `sigrtmin+3`."""
    if name.isascii() and name.isdigit():
        return 0 < int(name) <= int(signal.SIGRTMAX)
    bare = name.upper().removeprefix("SIG")
    realtime = _REALTIME.fullmatch(bare)
    if realtime is not None:
        return int(realtime[1] or realtime[2] or 0) <= _REALTIME_COUNT
    return f"SIG{bare}" in signal.Signals.__members__


def _assignments(pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{name}={value}" for name, value in pairs)


def _go_quoted(items: Iterable[str]) -> str:
    return "[" + " ".join(json.dumps(item, ensure_ascii=False) for item in items) + "]"
