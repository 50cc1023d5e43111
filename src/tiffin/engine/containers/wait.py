"""Wait for a container."""

import asyncio
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any

from tiffin.api.types.containers import WaitError, WaitResponse
from tiffin.engine.containers.model import Container, Ending
from tiffin.errors import InvalidArgument


class Condition(StrEnum):
    """What to wait for."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


def parse_condition(text: str) -> Condition:
    """Return the condition, not-running for ""; InvalidArgument quotes an unknown one."""
    try:
        return Condition(text or "not-running")
    except ValueError as error:
        raise InvalidArgument(f'invalid condition: "{text}"') from error


def wait(container: Container, condition: Condition) -> Coroutine[Any, Any, WaitResponse]:
    """Return what waits; nothing that happens from this call on is missed."""
    if condition is Condition.REMOVED:
        return _until_removed(container, container.removal())
    if condition is Condition.NEXT_EXIT or container.up:
        # A restart by policy does not count as going on: each end of a run is told.
        return _until_ended(container.next_end())
    return _at_once(container)


async def _at_once(container: Container) -> WaitResponse:
    return _response(Ending(container.instance.exit_code, container.instance.error))


async def _until_removed(container: Container, removal: asyncio.Future[None]) -> WaitResponse:
    await asyncio.shield(removal)
    # Why a start failed was told to whoever started it; clients take an error for a failed wait.
    return _response(Ending(container.instance.exit_code, ""))


async def _until_ended(end: asyncio.Future[Ending]) -> WaitResponse:
    return _response(await asyncio.shield(end))


def _response(ending: Ending) -> WaitResponse:
    error = WaitError(message=ending.error) if ending.error else None
    return WaitResponse(status_code=ending.exit_code, error=error)
