"""Stop and kill."""

import asyncio
import signal as signals
from contextlib import suppress

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.settle import until_heard
from tiffin.engine.containers.signals import parse_signal
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, FailedPrecondition, NotModified

_KILL_WAIT_S = 10.0
"""How long a killed container may take to be gone before that is an error."""


async def stop(
    context: Context, container: Container, signal: str = "", timeout_s: int | None = None
) -> None:
    """Ask the program to end, and kill it after `timeout_s` (negative: never).

    NotModified if it does not run; InvalidArgument for the signal.
    """
    number = parse_signal(signal) if signal else stop_signal(container)
    if not await _interrupt_restart(context, container):
        raise NotModified("Container is already stopped")
    if container.alive:
        await _end(context, container, number, _patience(context, container, timeout_s))
    context.publish(container, "stop")


def stop_signal(container: Container) -> int:
    """Return the signal that the configuration says, SIGTERM by default."""
    name = container.spec.config.stop_signal
    return parse_signal(name) if name else signals.SIGTERM


def _patience(context: Context, container: Container, timeout_s: int | None) -> float | None:
    if timeout_s is None:
        timeout_s = container.spec.config.stop_timeout
    if timeout_s is None:
        timeout_s = context.settings.stop_timeout_s
    return None if timeout_s < 0 else float(timeout_s)


async def _interrupt_restart(context: Context, container: Container) -> bool:
    """Keep the restart policy off; False if there is nothing to stop."""
    async with container.lock:
        if not container.up:
            return False
        container.stop_requested = True
        container.instance.stopped_by_user = True
        if container.status is Status.RESTARTING:
            cancel_restart(context, container)
        else:
            context.store.save(container)
    return True


async def _end(
    context: Context, container: Container, number: int, patience_s: float | None
) -> None:
    end = asyncio.shield(container.next_end())
    try:
        await _signal(context, container, number)
        async with asyncio.timeout(patience_s):
            await end
        return
    except (Conflict, TimeoutError):
        pass  # of its own accord, and that is not recorded yet, or not at all
    await kill_and_wait(context, container)


async def _signal(context: Context, container: Container, number: int) -> None:
    handle = container.handle
    if handle is None:
        raise Conflict(f"container {container.id} is not running")
    await until_heard(container, number, context.settings.settling_s)
    await handle.kill(number)
    context.publish(container, "kill", signal=str(number))
    async with container.lock:
        if container.status is Status.PAUSED and container.handle is handle:
            container.move(Status.RUNNING)
            with suppress(Conflict):  # it has ended already
                await handle.resume()


async def kill_and_wait(context: Context, container: Container) -> None:
    """Kill the program and wait until its end is recorded; FailedPrecondition if it stays."""
    if not container.alive:
        return
    end = asyncio.shield(container.next_end())
    try:
        await _signal(context, container, signals.SIGKILL)
    except Conflict:
        if not container.alive:
            return
        # It has ended, but that is not recorded yet.
    try:
        async with asyncio.timeout(_KILL_WAIT_S):
            await end
    except TimeoutError as error:
        raise FailedPrecondition(
            f"cannot stop container: {container.id}: tried to kill container, "
            "but did not receive an exit event"
        ) from error


async def kill(context: Context, container: Container, name: str, signal: str = "") -> None:
    """Send a signal (SIGKILL by default); `name` is what the client called the container.

    Conflict if it does not run, InvalidArgument for the signal.
    """
    number = parse_signal(signal) if signal else int(signals.SIGKILL)
    if container.status is Status.RESTARTING and number == signals.SIGKILL:
        await _interrupt_restart(context, container)
        return
    if not container.alive:
        raise Conflict(f"cannot kill container: {name}: container {container.id} is not running")
    if number in (signals.SIGKILL, stop_signal(container)):
        container.stop_requested = True
        container.instance.stopped_by_user = True
    if number == signals.SIGKILL:
        await kill_and_wait(context, container)
    else:
        await _signal(context, container, number)


def cancel_restart(context: Context, container: Container) -> None:
    """Take a container out of its back-off; the lock is held and it is restarting."""
    container.move(Status.EXITED)
    container.wake_restart.set()
    context.store.save(container)
    container.notify_ended()
