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
from tiffin.errors import Conflict, TiffinError
from tiffin.spec.durations import in_go
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
    """Check from now on a container that has just started or was adopted, if it has a check.

    Earlier results stay to be seen, but its health is to be found out anew, as with Docker.
    """
    command, settings = test_command(container), container.spec.config.healthcheck
    if not command or settings is None:
        container.health = None
        return
    if container.health is None:
        container.health = Health(status="starting")
    container.health.status, container.health.failing_streak = "starting", 0
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
    while True:
        await asyncio.sleep(_interval_ns(container, settings) / 1e9)
        if container.status is Status.PAUSED:
            continue
        began_ns = now_ns()
        result = await _check(context, container, settings, command)
        _record(context, container, settings, result, began_ns)


def _interval_ns(container: Container, settings: HealthConfig) -> int:
    if _is_starting(container, settings, now_ns()):
        return settings.start_interval or _DEFAULT_START_INTERVAL_NS
    return settings.interval or _DEFAULT_NS


def _is_starting(container: Container, settings: HealthConfig, moment_ns: int) -> bool:
    """Tell whether failures do not count yet: in the start period, before any success."""
    in_period = moment_ns - container.instance.started_ns < settings.start_period
    return in_period and container.health is not None and container.health.status == "starting"


async def _check(
    context: Context, container: Container, settings: HealthConfig, command: list[str]
) -> HealthResult:
    start_ns, timeout_ns = now_ns(), settings.timeout or _DEFAULT_NS
    identifier, output = new_id(), _Output()
    context.publish(container, f"exec_create: {' '.join(command)}", execID=identifier)
    try:
        code = await _run(context, container, identifier, command, timeout_ns / 1e9, output)
        said = output.text
    except TimeoutError:
        code, said = -1, f"Health check exceeded timeout ({in_go(timeout_ns)})"
        if output.text:
            said += f": {output.text}"
    except TiffinError as error:
        code, said = -1, str(error)
    context.publish(container, "exec_die", execID=identifier, exitCode=str(code))
    return HealthResult(start=rfc3339(start_ns), end=rfc3339(now_ns()), exit_code=code, output=said)


class _Output:
    """The first 4 KiB that a check prints."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._is_cut = False

    def add(self, data: bytes) -> None:
        """Keep what there is room for."""
        room = _OUTPUT_KEPT - len(self._kept)
        self._kept += data[:room]
        self._is_cut = self._is_cut or len(data) > room

    @property
    def text(self) -> str:
        """What was kept, with a sign that there was more."""
        return self._kept.decode(errors="replace") + ("..." if self._is_cut else "")


async def _run(
    context: Context,
    container: Container,
    identifier: str,
    command: list[str],
    timeout_s: float,
    output: _Output,
) -> int:
    """Execute the command and return its exit code; TimeoutError, and it is killed."""
    handle = container.handle
    if handle is None:
        raise Conflict(f"container {container.id} is not running")
    process = await asyncio.to_thread(oci_process, container, ExecCreateRequest(), command)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            running = await handle.exec(
                ExecRequest(ExecId(identifier), process, attachment=_attachment(theirs))
            )
        context.publish(container, f"exec_start: {' '.join(command)}", execID=identifier)
        collecting = asyncio.create_task(_collect(ours, output))
        try:
            async with asyncio.timeout(timeout_s):
                code = await running.wait()
                await collecting
                return code
        except BaseException:
            await _kill(running)
            raise
        finally:
            collecting.cancel()


def _attachment(side: socket.socket) -> Attachment:
    return Attachment(fd=side.fileno(), detach_keys=b"")


async def _kill(running: ExecHandle) -> None:
    try:
        await asyncio.shield(running.kill(_KILL))
    except TiffinError as error:
        log.debug("killing a health check: %s", error)


async def _collect(side: socket.socket, output: _Output) -> None:
    side.setblocking(False)  # socket's own signature
    loop, decoder = asyncio.get_running_loop(), Decoder()
    while data := await loop.sock_recv(side, 65536):
        for piece in decoder.feed(data):
            output.add(piece.data)


def _record(
    context: Context,
    container: Container,
    settings: HealthConfig,
    result: HealthResult,
    began_ns: int,
) -> None:
    health = container.health
    if health is None or not container.alive:
        return
    before = health.status
    health.log = [*health.log, result][-_RESULTS_KEPT:]
    if result.exit_code == 0:
        health.failing_streak, health.status = 0, "healthy"
    elif not _is_starting(container, settings, began_ns):
        health.failing_streak += 1
        if health.failing_streak >= (settings.retries or _DEFAULT_RETRIES):
            health.status = "unhealthy"
    context.store.save(container)
    if health.status != before:
        context.publish(container, f"health_status: {health.status}")
