"""Health checks: run the test in the container time and again, and say how it fares."""

import asyncio
import logging
import socket

from tiffin.api.types.containers import Health, HealthConfig, HealthResult
from tiffin.api.types.exec import ExecCreateRequest
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.executions import oci_process
from tiffin.engine.containers.model import Container, now_ns
from tiffin.engine.containers.status import Status
from tiffin.engine.containers.times import rfc3339
from tiffin.engine.tasks.contract import Attachment, ExecHandle, ExecRequest
from tiffin.errors import TiffinError
from tiffin.spec.ids import ExecId, new_id
from tiffin.wire.stdcopy import Decoder

log = logging.getLogger(__name__)

_DEFAULT_NS = 30_000_000_000
_DEFAULT_START_INTERVAL_NS = 5_000_000_000
_DEFAULT_RETRIES = 3
_RESULTS_KEPT = 5
_OUTPUT_KEPT = 4096
_KILL = 9


def test_command(container: Container) -> list[str]:
    """Return what to execute, [] if there is no check."""
    config = container.spec.config
    test = (config.healthcheck.test if config.healthcheck else None) or []
    if not test or test[0] == "NONE":
        return []
    if test[0] == "CMD":
        return test[1:]
    return [*(config.shell or ["/bin/sh", "-c"]), *test[1:]]


def begin(context: Context, container: Container) -> None:
    """Start checking a container that has just started, if it has a check."""
    command, settings = test_command(container), container.spec.config.healthcheck
    if not command or settings is None:
        container.health = None
        return
    container.health = Health(status="starting")
    container.health_checks = asyncio.create_task(
        _check_for_ever(context, container, settings, command), name=f"health {container.id}"
    )


def end(container: Container) -> None:
    """Stop checking; the last results stay to be seen."""
    checks, container.health_checks = container.health_checks, None
    if checks is not None:
        checks.cancel()
    if container.health is not None:
        container.health.status = "unhealthy"  # as Docker shows what is not checked any more


async def _check_for_ever(
    context: Context, container: Container, settings: HealthConfig, command: list[str]
) -> None:
    began_ns = now_ns()
    while True:
        in_start = now_ns() - began_ns < settings.start_period
        starting = container.health is not None and container.health.status == "starting"
        interval_ns = settings.interval or _DEFAULT_NS
        if in_start and starting:
            interval_ns = settings.start_interval or _DEFAULT_START_INTERVAL_NS
        await asyncio.sleep(interval_ns / 1e9)
        if container.status is Status.PAUSED:
            continue
        in_start = now_ns() - began_ns < settings.start_period
        result = await _check(context, container, settings, command)
        _record(context, container, settings, result, in_start=in_start)


async def _check(
    context: Context, container: Container, settings: HealthConfig, command: list[str]
) -> HealthResult:
    start_ns, timeout_s = now_ns(), (settings.timeout or _DEFAULT_NS) / 1e9
    identifier = new_id()
    context.publish(container, f"exec_create: {' '.join(command)}", execID=identifier)
    try:
        code, output = await _run(context, container, identifier, command, timeout_s)
    except TimeoutError:
        code, output = -1, f"Health check exceeded timeout ({_seconds(timeout_s)})".encode()
    except TiffinError as error:
        code, output = -1, str(error).encode()
    context.publish(container, "exec_die", execID=identifier, exitCode=str(code))
    return HealthResult(
        start=rfc3339(start_ns),
        end=rfc3339(now_ns()),
        exit_code=code,
        output=output[:_OUTPUT_KEPT].decode(errors="replace"),
    )


def _seconds(value: float) -> str:
    return f"{value:g}s"


async def _run(
    context: Context, container: Container, identifier: str, command: list[str], timeout_s: float
) -> tuple[int, bytes]:
    handle = container.handle
    if handle is None:
        return -1, b"the container has ended"
    process = await asyncio.to_thread(oci_process, container, ExecCreateRequest(), command)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            running = await handle.exec(
                ExecRequest(ExecId(identifier), process, attachment=_attachment(theirs))
            )
        context.publish(container, f"exec_start: {' '.join(command)}", execID=identifier)
        output = asyncio.create_task(_collect(ours))
        try:
            async with asyncio.timeout(timeout_s):
                code = await running.wait()
                return code, await output
        except BaseException:
            await _kill(running)
            raise
        finally:
            output.cancel()


def _attachment(side: socket.socket) -> Attachment:
    return Attachment(fd=side.fileno(), detach_keys=b"")


async def _kill(running: ExecHandle) -> None:
    try:
        await asyncio.shield(running.kill(_KILL))
    except TiffinError as error:
        log.debug("killing a health check: %s", error)


async def _collect(side: socket.socket) -> bytes:
    side.setblocking(False)  # socket's own signature
    loop, decoder, output = asyncio.get_running_loop(), Decoder(), bytearray()
    while data := await loop.sock_recv(side, 65536):
        for piece in decoder.feed(data):
            if len(output) < _OUTPUT_KEPT:
                output += piece.data
    return bytes(output)


def _record(
    context: Context,
    container: Container,
    settings: HealthConfig,
    result: HealthResult,
    *,
    in_start: bool,
) -> None:
    health = container.health
    if health is None or not container.alive:
        return
    before = health.status
    health.log = [*health.log, result][-_RESULTS_KEPT:]
    if result.exit_code == 0:
        health.failing_streak, health.status = 0, "healthy"
    elif not (in_start and before == "starting"):
        health.failing_streak += 1
        if health.failing_streak >= (settings.retries or _DEFAULT_RETRIES):
            health.status = "unhealthy"
    if health.status != before:
        context.publish(container, f"health_status: {health.status}")
