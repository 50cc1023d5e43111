"""`docker commit`: an image from what a container has changed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from tiffin.api.types.containers import Config, HealthConfig
from tiffin.engine.bundle.environment import words
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.events import Events
from tiffin.errors import Conflict, FailedPrecondition, NotFound
from tiffin.images.image import Image
from tiffin.images.store import ImageStore, names_of
from tiffin.images.write import create_image
from tiffin.spec.container_config import ContainerConfig, Healthcheck
from tiffin.spec.descriptor import OCI_LAYER, Descriptor
from tiffin.spec.digest import Digest
from tiffin.spec.image import History, ImageConfig
from tiffin.spec.platform import parse_platform
from tiffin.spec.reference import Reference


class Containers(Protocol):
    """What commit needs of containers."""

    def find(self, reference: str) -> Container:
        """Return the live object; NotFound `No such container: …`."""

    async def pause(self, reference: str) -> None:
        """Freeze all processes."""

    async def unpause(self, reference: str) -> None:
        """Thaw."""


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """What to commit. `config`, if given, takes precedence over the container's."""

    container: str
    name: Reference | None = None
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: Sequence[str] = ()
    config: Config | None = None


class Commits:
    """Makes images of containers."""

    def __init__(self, store: ImageStore, containers: Containers, events: Events) -> None:
        self._store = store
        self._containers = containers
        self._events = events

    async def commit(self, request: CommitRequest) -> Digest:
        """Return the new image's ID; NotFound, Conflict, InvalidArgument (changes)."""
        container = self._containers.find(request.container)
        _check(container)
        config = merged_config(container.spec.config, request.config, request.changes)
        async with self._paused(container, wanted=request.pause):
            image = await self._finished(container, request, config)
        self._publish(container, image, request)
        return image.id

    @asynccontextmanager
    async def _paused(self, container: Container, *, wanted: bool) -> AsyncIterator[None]:
        if not wanted or container.status is not Status.RUNNING:
            yield
            return
        try:
            await self._containers.pause(container.id)
        except Conflict:  # it has ended, or somebody else has frozen it, meanwhile
            yield
            return
        try:
            yield
        finally:
            # It may have been thawed or killed meanwhile.
            with contextlib.suppress(Conflict, NotFound):
                await self._containers.unpause(container.id)

    async def _finished(
        self, container: Container, request: CommitRequest, config: ContainerConfig
    ) -> Image:
        """Commit to the end even if the caller goes away: no thaw before."""
        work = asyncio.create_task(asyncio.to_thread(self._commit, container, request, config))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    def _commit(
        self, container: Container, request: CommitRequest, config: ContainerConfig
    ) -> Image:
        from tiffin.build.layer import store_layer  # the builder, which an idle daemon spares
        from tiffin.spec.times import format_time

        spec = container.spec
        base = self._base(container)
        layers = base.layers if base else ()
        with self._store.lease() as lease:
            if base is not None:
                lease.hold(*names_of(base))
            try:
                layer = store_layer(
                    self._store.content, self._store.snapshotter, lease, spec.id, spec.chain_id,
                    keep_empty=True,
                )  # fmt: skip
            except OSError as error:
                raise FailedPrecondition(
                    f"failed to read container {spec.id}: {error.strerror}"
                ) from error
            if layer is None:  # not with keep_empty
                raise FailedPrecondition(f"container {spec.id} gave no layer")
            history = History(
                created=format_time(time.time_ns()), created_by=command_of(spec.config),
                author=request.author, comment=request.comment,
            )  # fmt: skip
            image = _image_config(base, spec.platform, config, history)
            names = (request.name,) if request.name is not None else ()
            return create_image(
                self._store.content, self._store, image.append_layer(layer.diff_id, history),
                (*layers, Descriptor(OCI_LAYER, layer.diff_id, layer.size)),
                names=names, parent=base.id if base else "",
            )  # fmt: skip

    def _base(self, container: Container) -> Image | None:
        image_id = container.spec.image_id
        if not image_id:
            return None
        try:
            return self._store.get(Digest(image_id))
        except NotFound as error:
            raise Conflict(
                f"image {image_id} of container {container.id} is gone: its layers are not known"
            ) from error

    def _publish(self, container: Container, image: Image, request: CommitRequest) -> None:
        attributes = {"comment": request.comment, "imageID": image.id,
                      "imageRef": request.name.familiar if request.name else "",
                      "image": container.spec.config.image, "name": container.name}  # fmt: skip
        self._events.publish(
            "container", "commit", container.id,
            {**(container.spec.config.labels or {}), **attributes},
        )  # fmt: skip


def _check(container: Container) -> None:
    if container.status in (Status.REMOVING, Status.DEAD):
        state = "Dead" if container.status is Status.DEAD else "being removed"
        raise Conflict(f"You cannot commit container {container.id} which is {state}")


def _image_config(
    base: Image | None, platform: str, config: ContainerConfig, history: History
) -> ImageConfig:
    if base is not None:
        author = history.author or base.config.author
        return replace(base.config, config=config, created=history.created, author=author)
    parsed = parse_platform(platform or "linux")
    return ImageConfig(architecture=parsed.architecture, os=parsed.os, variant=parsed.variant,
                       created=history.created, author=history.author, config=config)  # fmt: skip


def command_of(config: Config) -> str:
    """Return what the container ran, for history."""
    return " ".join([*words(config.entrypoint), *words(config.cmd)])


def merged_config(
    container: Config, override: Config | None, changes: Sequence[str]
) -> ContainerConfig:
    """Return the image's config: changes on the override, gaps filled from the container's."""
    from tiffin.build.changes import change_config  # the builder, which an idle daemon spares

    inherited = _to_spec(container)
    if override is None:
        return change_config(inherited, changes)
    return fill_gaps(change_config(_to_spec(override), changes), inherited)


def fill_gaps(own: ContainerConfig, inherited: ContainerConfig) -> ContainerConfig:
    """Return `own` with what it leaves open taken from `inherited`, by Docker's rules."""
    names = {item.partition("=")[0] for item in own.env}
    entrypoint, cmd = own.entrypoint, own.cmd
    if not own.entrypoint:
        if not own.cmd:
            cmd = inherited.cmd
        if own.entrypoint is None:
            entrypoint = inherited.entrypoint
    return replace(
        own,
        user=own.user or inherited.user,
        exposed_ports=tuple(dict.fromkeys((*own.exposed_ports, *inherited.exposed_ports))),
        env=(*own.env, *(i for i in inherited.env if i.partition("=")[0] not in names)),
        entrypoint=entrypoint,
        cmd=cmd,
        volumes=tuple(dict.fromkeys((*own.volumes, *inherited.volumes))),
        working_dir=own.working_dir or inherited.working_dir,
        labels={**inherited.labels, **own.labels},
        stop_signal=own.stop_signal or inherited.stop_signal,
        healthcheck=own.healthcheck or inherited.healthcheck,
        shell=own.shell or inherited.shell,
    )


def _to_spec(config: Config) -> ContainerConfig:
    return ContainerConfig(
        user=config.user,
        exposed_ports=tuple(config.exposed_ports or ()),
        env=tuple(config.env or ()),
        entrypoint=None if config.entrypoint is None else tuple(words(config.entrypoint)),
        cmd=None if config.cmd is None else tuple(words(config.cmd)),
        volumes=tuple(config.volumes or ()),
        working_dir=config.working_dir,
        labels=dict(config.labels or {}),
        stop_signal=config.stop_signal,
        healthcheck=_health(config.healthcheck),
        shell=tuple(config.shell) if config.shell else None,
        on_build=tuple(config.on_build or ()),
    )


def _health(config: HealthConfig | None) -> Healthcheck | None:
    if config is None:
        return None
    return Healthcheck(tuple(config.test or ()), config.interval, config.timeout,
                       config.start_period, config.start_interval, config.retries)  # fmt: skip
