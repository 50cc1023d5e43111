"""Execs: further processes in a running container."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tiffin.api.types.exec import ExecCreateRequest, ExecInspect, ProcessConfig
from tiffin.engine.bundle import capabilities
from tiffin.engine.bundle.build import oci_user
from tiffin.engine.bundle.environment import environment, override, words
from tiffin.engine.bundle.labels import apparmor_profile
from tiffin.engine.bundle.resources import rlimits
from tiffin.engine.bundle.security import in_force, parse_security_options
from tiffin.engine.bundle.users import Account, resolve_user
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.detach_keys import parse_detach_keys
from tiffin.engine.containers.execution import Execution
from tiffin.engine.containers.links import link_environment
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.rootfs import process_root, read_lines
from tiffin.engine.containers.status import Status
from tiffin.engine.tasks.contract import Attachment, ExecHandle, ExecRequest, TaskHandle
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument, TiffinError
from tiffin.spec.ids import ExecId, new_id

log = logging.getLogger(__name__)

_EXIT_RACE_S = 2.0
_NOT_FOUND = ("executable file not found", "no such file or directory")
_PREFIX = "OCI runtime exec failed: exec failed: "


def check_running(container: Container) -> None:
    """Raise Conflict unless processes can be added to the container."""
    if container.status is Status.PAUSED:
        raise Conflict(f"Container {container.id} is paused, unpause the container before exec")
    if container.status is Status.RESTARTING:
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if container.handle is None or not container.alive:
        raise Conflict(f"container {container.id} is not running")


async def create(context: Context, container: Container, request: ExecCreateRequest) -> Execution:
    """Note what shall be executed; InvalidArgument, Conflict unless the container runs."""
    check_running(container)
    args = words(request.cmd)
    if not args:
        raise InvalidArgument("No exec command specified")
    for item in request.env or ():
        if not item or item.startswith("=") or "\0" in item:
            raise InvalidArgument(f"invalid environment variable: {item}")
    if request.working_dir and not request.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{request.working_dir}' is invalid, "
            "it needs to be an absolute path"
        )
    if request.user:
        await asyncio.to_thread(_check_user, container, request.user)
    keys = parse_detach_keys(request.detach_keys, "escape keys")
    execution = Execution(ExecId(new_id()), container, request, args, keys)
    context.executions.add(execution)
    context.publish(container, f"exec_create: {' '.join(args)}", execID=execution.id)
    return execution


def claim(execution: Execution) -> None:
    """Note that somebody is starting it; Conflict if that cannot be."""
    if execution.exit_code is not None:
        raise Conflict(f"Error: Exec command {execution.id} has already run")
    if execution.started:
        raise Conflict(f"Error: Exec command {execution.id} is already running")
    check_running(execution.container)
    execution.started = True


async def start(
    context: Context,
    execution: Execution,
    attachment: Attachment | None,
    size: tuple[int, int] = (0, 0),
) -> None:
    """Execute it; returns once it runs. The caller has claimed it and keeps its descriptor.

    FailedPrecondition in runc's words, with the exit code 126 or 127 noted, if that fails.
    """
    container, request = execution.container, execution.request
    handle = container.handle
    try:
        if handle is None:
            raise Conflict(f"container {container.id} is not running")
        linked = await link_environment(context, container)
        if attachment is not None:
            attachment = replace(attachment, on_detached=lambda: _detached(context, execution))
        process = await asyncio.to_thread(
            oci_process,
            container,
            request,
            execution.args,
            linked,
            context.settings.security_options,
        )
        running = await _execute(
            handle,
            ExecRequest(execution.id, process, request.tty, size[0], size[1], attachment),
        )
    except TiffinError as error:
        text = error.message.lower()
        execution.exit_code = 127 if any(phrase in text for phrase in _NOT_FOUND) else 126
        raise
    execution.handle, execution.pid, execution.running = running, running.pid, True
    context.publish(container, f"exec_start: {' '.join(execution.args)}", execID=execution.id)
    execution.supervisor = asyncio.create_task(
        _supervise(context, execution, running), name=f"exec {execution.id}"
    )


def _detached(context: Context, execution: Execution) -> None:
    context.publish(execution.container, "exec_detach", execID=execution.id)


async def _execute(handle: TaskHandle, request: ExecRequest) -> ExecHandle:
    try:
        return await handle.exec(request)
    except FailedPrecondition as error:
        if error.message.startswith("OCI runtime"):
            raise
        raise FailedPrecondition(_PREFIX + error.message) from error


async def _supervise(context: Context, execution: Execution, handle: ExecHandle) -> None:
    try:
        code = await handle.wait()
    except TiffinError as error:
        log.warning("exec %s: %s", execution.id, error)
        code = 137
    execution.exit_code, execution.running, execution.pid = code, False, 0
    context.publish(execution.container, "exec_die", execID=execution.id, exitCode=str(code))


def oci_process(
    container: Container,
    request: ExecCreateRequest,
    args: list[str],
    linked: Sequence[str] = (),
    security_defaults: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the OCI `process` object of an exec. Blocking; FailedPrecondition.

    `linked` are variables that describe linked containers; `security_defaults` what the daemon
    says of security where the container does not.
    """
    config, host = container.spec.config, container.spec.host
    account = _account(container, request.user or config.user)
    privileged = host.privileged or request.privileged
    security = parse_security_options(in_force(host, security_defaults))
    held = capabilities.effective(host.cap_add or (), host.cap_drop or (), privileged=privileged)
    base = environment(
        [*linked, *(config.env or ())],
        hostname=config.hostname,
        terminal=request.tty,
        home=account.home,
    )
    process: dict[str, Any] = {
        "terminal": request.tty,
        "user": oci_user(account),
        "args": args,
        "env": override(base, request.env or ()),
        "cwd": request.working_dir or config.working_dir or "/",
        "capabilities": capabilities.sets(held, user_is_root=account.uid == 0),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }
    profile = apparmor_profile(security.apparmor, privileged=privileged)
    if profile:
        process["apparmorProfile"] = profile
    if host.ulimits:
        process["rlimits"] = rlimits(host.ulimits)
    return process


def _check_user(container: Container, user: str) -> None:
    try:
        _account(container, user)
    except FailedPrecondition as error:
        raise InvalidArgument(error.message) from error


def _account(container: Container, user: str) -> Account:
    groups = tuple(container.spec.host.group_add or ())
    try:
        with process_root(container.instance.pid) as root:
            return resolve_user(user, groups, lambda path: read_lines(root, path))
    except OSError as error:
        raise Conflict(f"container {container.id} is not running") from error


async def inspect(execution: Execution) -> ExecInspect:
    """Describe it. If its process is gone, its exit code is awaited for a moment."""
    if execution.running and execution.supervisor is not None and _is_gone(execution.pid):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_RACE_S):
                await asyncio.shield(execution.supervisor)
    request = execution.request
    return ExecInspect(
        id=execution.id,
        running=execution.running,
        exit_code=execution.exit_code,
        process_config=ProcessConfig(
            tty=request.tty,
            entrypoint=execution.args[0],
            arguments=execution.args[1:],
            privileged=request.privileged,
            user=request.user or execution.container.spec.config.user,
        ),
        open_stdin=request.attach_stdin,
        open_stdout=request.attach_stdout,
        open_stderr=request.attach_stderr,
        can_remove=False,
        container_id=execution.container.id,
        detach_keys=execution.detach_keys.decode("latin-1"),
        pid=execution.pid,
    )


def _is_gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:1] in ([b"Z"], [b"X"])
    except OSError:
        return not os.path.exists(f"/proc/{pid}")  # noqa: PTH110  # a path of /proc


async def resize(execution: Execution, rows: int, columns: int) -> None:
    """Set its terminal's size; Conflict unless it runs."""
    if execution.handle is None or not execution.running:
        raise Conflict(f"exec {execution.id} is not running")
    await execution.handle.resize(rows, columns)
