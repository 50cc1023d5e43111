"""Reaching registries: which endpoint, with whose credentials, and what failures mean."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tiffin.errors import FailedPrecondition, NotFound, TiffinError
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import RegistryOptions, endpoints
from tiffin.registry.errors import RegistryError, Unreachable
from tiffin.registry.transport import Retry
from tiffin.spec.reference import Reference

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class RegistryAccess:
    """How this daemon speaks to registries; `options` are replaced when they are reloaded."""

    options: RegistryOptions = field(default_factory=RegistryOptions)
    user_agent: str = "tiffin"
    retry: Retry = field(default_factory=Retry)

    async def each(
        self,
        domain: str,
        credentials: Credentials,
        action: Callable[[RegistryClient], Awaitable[T]],
        *,
        mirrors: bool = False,
    ) -> T:
        """Try `action` on each endpoint of a registry until one serves.

        The next one is tried after a mirror failed or nobody answered; the last failure is raised.
        Mirrors are never shown the registry's own credentials.
        """
        failure: RegistryError | None = None
        for endpoint in await endpoints(domain, self.options, mirrors=mirrors):
            user = ANONYMOUS if endpoint.mirror else credentials
            client = RegistryClient(endpoint, user, user_agent=self.user_agent, retry=self.retry)
            try:
                async with client:
                    await client.authorizer.ping()
                    return await action(client)
            except RegistryError as error:
                if not endpoint.mirror and not isinstance(error, Unreachable):
                    raise
                log.debug("registry endpoint %s: %s", endpoint.url, error)
                failure = error
        raise failure or FailedPrecondition(f"no endpoint for registry {domain}")


def explained(error: RegistryError, reference: Reference) -> TiffinError:
    """Return a registry's refusal of a pull in Docker's words for the image that was asked for."""
    if error.code == "DENIED":
        return NotFound(
            f"pull access denied for {reference.familiar_repository}, repository does not exist "
            f"or may require 'docker login': {error.message}"
        )
    if error.code in ("MANIFEST_UNKNOWN", "NOT_FOUND"):
        return NotFound(f"manifest for {reference.familiar} not found: {error.message}")
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {reference.familiar_repository} not found: {error.message}")
    return error


async def together(tasks: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first failure cancels the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
