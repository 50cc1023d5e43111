"""Reaching registries: which endpoint, with whose credentials, and what failures mean."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tiffin.errors import DataLoss, FailedPrecondition, InvalidArgument, NotFound, TiffinError
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import RegistryOptions, endpoints
from tiffin.registry.errors import RegistryError, Unreachable
from tiffin.registry.transport import Patience, Retry
from tiffin.spec.reference import Reference

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class RegistryAccess:
    """How this daemon speaks to registries; `options` are replaced when they are reloaded."""

    options: RegistryOptions = field(default_factory=RegistryOptions)
    user_agent: str = "tiffin"
    retry: Retry = field(default_factory=Retry)
    patience: Patience = field(default_factory=Patience)

    async def each(
        self,
        domain: str,
        credentials: Credentials,
        action: Callable[[RegistryClient], Awaitable[T]],
        *,
        mirrors: bool = False,
        insecure: bool = False,
    ) -> T:
        """Try `action` on each endpoint of a registry until one serves.

        The next one is tried after a mirror failed, or the registry is down or limits our rate.
        Mirrors are never shown the registry's own credentials. `insecure` lets this one registry
        be spoken to in the clear, whatever the daemon's configuration says.
        """
        options = self.options
        if insecure:
            options = replace(options, insecure=(*options.insecure, domain))
        failures: list[tuple[bool, bool, TiffinError]] = []
        for endpoint in await endpoints(domain, options, mirrors=mirrors):
            user = ANONYMOUS if endpoint.mirror else credentials
            client = RegistryClient(
                endpoint, user, user_agent=self.user_agent, retry=self.retry,
                patience=self.patience,
            )  # fmt: skip
            try:
                async with client:
                    await client.authorizer.ping()
                    return await action(client)
            except (RegistryError, DataLoss, InvalidArgument) as error:
                status = error.status if isinstance(error, RegistryError) else 0
                if not endpoint.mirror and not _is_down(error):
                    raise
                log.debug("registry endpoint %s: %s", endpoint.url, error)
                failures.append((not endpoint.mirror, status != 0, error))
        if not failures:
            raise FailedPrecondition(f"no endpoint for registry {domain}")
        # What the registry itself answered says more than what a mirror did, or silence.
        raise max(reversed(failures), key=lambda failure: failure[:2])[2]


def _is_down(error: TiffinError) -> bool:
    """Tell whether another endpoint may serve what this one, for the moment, does not."""
    if isinstance(error, Unreachable):
        return True
    return isinstance(error, RegistryError) and (error.status == 429 or error.status >= 500)


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
