"""Execs on the wire."""

from typing import ClassVar

import msgspec

from tiffin.api.codec import Wire


class ExecCreateRequest(Wire, rename="pascal"):
    """Body of `POST /containers/{id}/exec`."""

    user: str = ""
    privileged: bool = False
    tty: bool = False
    console_size: list[int] | None = None
    attach_stdin: bool = False
    attach_stderr: bool = False
    attach_stdout: bool = False
    detach_keys: str | None = None
    env: list[str] | None = None
    working_dir: str = ""
    cmd: list[str] | str | None = None


class ExecStartRequest(Wire, rename="pascal"):
    """Body of `POST /exec/{id}/start`; `console_size` is height, width."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] | None = None


class ExecCreateResponse(Wire, rename="pascal"):
    """Answer of `POST /containers/{id}/exec`."""

    id: str = ""


class ProcessConfig(Wire, rename="camel"):
    """What an exec runs."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"user"})
    tty: bool = False
    entrypoint: str = ""
    arguments: list[str] = msgspec.field(default_factory=list)
    privileged: bool = False
    user: str = ""


class ExecInspect(Wire):
    """Answer of `GET /exec/{id}/json`."""

    id: str = msgspec.field(default="", name="ID")
    running: bool = msgspec.field(default=False, name="Running")
    exit_code: int | None = msgspec.field(default=None, name="ExitCode")
    process_config: ProcessConfig = msgspec.field(
        default_factory=ProcessConfig, name="ProcessConfig"
    )
    open_stdin: bool = msgspec.field(default=False, name="OpenStdin")
    open_stderr: bool = msgspec.field(default=False, name="OpenStderr")
    open_stdout: bool = msgspec.field(default=False, name="OpenStdout")
    can_remove: bool = msgspec.field(default=False, name="CanRemove")
    container_id: str = msgspec.field(default="", name="ContainerID")
    detach_keys: str = msgspec.field(default="", name="DetachKeys")
    pid: int = msgspec.field(default=0, name="Pid")
