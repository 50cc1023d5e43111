"""Base images: those that are here, and pulls of those that are not."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tiffin.build.cancellation import CancellationToken
from tiffin.engine.build.bridge import run_in_loop
from tiffin.engine.images.context import Progress
from tiffin.engine.images.pull import PullRequest
from tiffin.errors import FailedPrecondition, NotFound
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.platforms import unpacked
from tiffin.images.store import ImageStore, names_of
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.errors import RegistryError
from tiffin.spec.platform import Platform
from tiffin.spec.reference import parse_reference
from tiffin.wire.jsonmessage import JsonMessage


class Pulls(Protocol):
    """What the builder needs of pulling."""

    def pull(self, request: PullRequest, emit: Progress) -> Coroutine[Any, Any, Image]:
        """Pull one image and name it; NotFound, RegistryError."""


@dataclass(frozen=True, slots=True)
class BaseImages:
    """Finds images for one build; what was found stays until the lease ends.

    `loop` is where pulls run; `find` is called in the builder's threads.
    """

    store: ImageStore
    pulls: Pulls
    loop: asyncio.AbstractEventLoop
    credentials: Mapping[str, Credentials]
    emit: Callable[[Mapping[str, Any]], None]
    cancellation: CancellationToken
    always_pull: bool = False

    def find(self, name: str, platform: Platform | None, lease: Lease) -> Image:
        """Return the image, pulled if it is not here (or `always_pull`); TiffinError."""
        image = None if self.always_pull else self._here(name, platform)
        if image is None:
            image = self._pull(name, platform)
        lease.hold(*names_of(image))
        return self.store.get(image.id)

    def local(self, name: str, lease: Lease) -> Image | None:
        """Return an image if it is here."""
        image = self._here(name, None)
        if image is not None:
            lease.hold(*names_of(image))
        return image

    def _here(self, name: str, platform: Platform | None) -> Image | None:
        try:
            return unpacked(self.store, name, platform)
        except NotFound:
            return None

    def _pull(self, name: str, platform: Platform | None) -> Image:
        reference = parse_reference(name).with_default_tag()
        request = PullRequest(
            reference, platform, self.credentials.get(reference.domain, ANONYMOUS)
        )

        def emit(message: JsonMessage) -> None:
            self.emit(message.to_json())

        try:
            return run_in_loop(self.loop, lambda: self.pulls.pull(request, emit), self.cancellation)
        except RegistryError as error:
            if name in error.message:
                raise
            raise FailedPrecondition(f"failed to resolve base image {name}: {error}") from error
