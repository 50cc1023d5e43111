"""The service of volumes, as routes, containers and Compose's words see it."""

import asyncio
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from tiffin.api.filters import Filters
from tiffin.api.types.volumes import Volume, VolumePruneReport, VolumeUsage
from tiffin.engine.events import Events
from tiffin.engine.trash.contract import Bin, NoBin
from tiffin.engine.volumes.names import ANONYMOUS_LABEL, check_name
from tiffin.engine.volumes.populate import populate
from tiffin.engine.volumes.registry import VolumeRegistry, VolumeState
from tiffin.errors import Conflict, NotFound, TiffinError
from tiffin.spec.ids import new_id
from tiffin.spec.mount import Mount
from tiffin.spec.times import format_time
from tiffin.state.retired import Retired
from tiffin.state.volumes import VolumeRow, VolumeRows, retired_volume
from tiffin.volumes.driver import VolumeDriver, VolumeSpec

log = logging.getLogger(__name__)

LIST_FILTERS = frozenset({"dangling", "driver", "label", "name"})
PRUNE_FILTERS = frozenset({"all", "label", "label!"})


class RecoverableDriver(VolumeDriver, Protocol):
    """A driver that keeps its volumes itself, and cleans up."""

    def recover(self, known_ids: set[str]) -> list[str]:
        """Return the ids of what holds data and belongs to none of these volumes."""


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A volume as a container sees it; `source` is the path that inspect shows."""

    name: str
    driver: str
    source: str
    mounts: tuple[Mount, ...]


class Volumes:
    """Create, find, use and remove volumes. One task at a time changes the set."""

    def __init__(self, rows: VolumeRows, driver: RecoverableDriver, events: Events) -> None:
        self._rows = rows
        self._driver = driver
        self._events = events
        self._registry = VolumeRegistry()
        self._changing = asyncio.Lock()
        self._pruning = False
        self.bin: Bin = NoBin()
        """Where removed volumes go."""

    async def recover(self) -> None:
        """Read the table, clean up after a crash; containers then `acquire` what they use."""
        for row in await asyncio.to_thread(self._rows.all):
            self._registry.add(_spec(row))
        known = {state.spec.id for state in self._registry.all()}
        known |= {row.id for row in await asyncio.to_thread(self._rows.retired)}
        for identifier in await asyncio.to_thread(self._driver.recover, known):
            await self._retire_stray(identifier)

    async def create(
        self,
        name: str = "",
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Create a volume, or return the one of that name; "" gets an anonymous one.

        InvalidArgument for a bad name or options, NotFound for a driver, Conflict if the name is
        another driver's.
        """
        labels = dict(labels or {})
        if not name:
            name, labels[ANONYMOUS_LABEL] = new_id(), ""
        async with self._changing:
            state = self._registry.find(name)
            if state is None:
                return self._wire(await self._create(name, driver, dict(options or {}), labels))
            if driver not in ("", state.spec.driver):
                raise Conflict(
                    f"create {name}: driver '{state.spec.driver}' already has volume '{name}':"
                    " volume name must be unique"
                )
            return self._wire(state.spec)

    async def list(self, filters: Filters) -> Sequence[Volume]:
        """Return the volumes that pass `dangling`, `driver`, `label` and `name`; InvalidArgument."""
        filters.validate(LIST_FILTERS)
        dangling = filters.boolean("dangling") if "dangling" in filters else None
        return [
            self._wire(state.spec)
            for state in self._registry.all()
            if filters.match("name", state.spec.name)
            and filters.exact("driver", state.spec.driver)
            and filters.matches_labels(state.spec.labels)
            and dangling in (None, not state.users)
        ]

    async def inspect(self, name: str) -> Volume:
        """Describe a volume; NotFound."""
        return self._wire(self._registry.get(name).spec)

    def directories(self) -> frozenset[str]:
        """Return the names of the directories of all volumes."""
        return frozenset(state.spec.id for state in self._registry.all())

    async def disk_usage(self) -> Sequence[Volume]:
        """Describe all volumes with what they take."""
        states = self._registry.all()
        sizes = [await asyncio.to_thread(self._driver.usage, state.spec) for state in states]
        described = []
        for state, size in zip(states, sizes, strict=True):
            wire = self._wire(state.spec)
            wire.usage_data = VolumeUsage(size=size, ref_count=len(state.users))
            described.append(wire)
        return described

    async def remove(self, name: str, *, force: bool = False, undoable: bool = False) -> None:
        """Remove a volume; Conflict if it is in use, NotFound unless `force`."""
        async with self._changing:
            if force and self._registry.find(name) is None:
                return
            state = self._registry.get(name)
            await self._remove(state, await self.bin.begin("volume rm") if undoable else None)

    async def prune(self, filters: Filters, *, named: bool = False) -> VolumePruneReport:
        """Remove unused volumes: anonymous ones, all with `named` or the filter `all`.

        InvalidArgument; Conflict while another prune runs.
        """
        filters.validate(PRUNE_FILTERS)
        named = named or filters.boolean("all")
        if self._pruning:
            raise Conflict("a prune operation is already running")
        self._pruning = True
        try:
            report = await self._prune(filters, named=named)
        finally:
            self._pruning = False
        self._events.publish("volume", "prune", "", {"reclaimed": str(report.space_reclaimed)})
        return report

    async def preview_prune(
        self, filters: Filters, *, named: bool = False, gone: Collection[str] = ()
    ) -> VolumePruneReport:
        """Tell what `prune` would do, as if the containers `gone` were removed already."""
        filters.validate(PRUNE_FILTERS)
        specs = [
            state.spec
            for state in self._prunable(filters, named=named or filters.boolean("all"))
            if set(state.users) <= set(gone)
        ]
        sizes = [await asyncio.to_thread(self._driver.usage, spec) for spec in specs]
        return VolumePruneReport(
            volumes_deleted=[spec.name for spec in specs] or None,
            space_reclaimed=sum(max(size, 0) for size in sizes),
        )

    async def restore(self, item: Retired) -> None:
        """Bring a volume back from the trash; Conflict if its name is taken."""
        spec = _spec(retired_volume(item))
        async with self._changing:
            if self._registry.find(spec.name) is not None:
                raise Conflict(f"a volume named {spec.name} already exists")
            await asyncio.to_thread(self._rows.restore, item)
            self._registry.add(spec)
        self._publish("create", spec)

    async def destroy(self, item: Retired) -> int:
        """Drop a volume of the trash for good; return the bytes freed."""
        await asyncio.to_thread(self._rows.forget_retired, item)
        # What a crash leaves now is a stray, which the next start finds.
        await asyncio.to_thread(self._driver.remove, _spec(retired_volume(item)))
        return item.size

    # For containers

    async def acquire(self, name: str, container_id: str) -> VolumeMount:
        """Note that the container uses the volume, once or again; NotFound."""
        state = self._registry.get(name)
        state.users[container_id] = None
        spec = state.spec
        mounts = await asyncio.to_thread(self._driver.mounts, spec)
        return VolumeMount(spec.name, spec.driver, self._driver.mountpoint(spec), mounts)

    async def release(self, container_id: str) -> None:
        """Note that the container uses no volume any more."""
        self._registry.release(container_id)

    async def populate(self, name: str, rootfs: Sequence[Mount], path: str) -> None:
        """Fill the volume, if it is empty, with what `rootfs` has at `path`; NotFound."""
        mounts = await asyncio.to_thread(self._driver.mounts, self._registry.get(name).spec)
        if mounts[0].fstype != "tmpfs":  # it would vanish again before the container has it
            await asyncio.to_thread(populate, mounts, rootfs, path)

    def mounted(
        self, name: str, container_id: str, destination: str, *, read_only: bool, propagation: str
    ) -> None:
        """Tell the world that a container that starts has the volume at `destination`."""
        self._publish(
            "mount",
            self._registry.get(name).spec,
            {
                "container": container_id,
                "destination": destination,
                "propagation": propagation,
                "read/write": "false" if read_only else "true",
            },
        )

    def unmounted(self, name: str, container_id: str) -> None:
        """Tell the world that a container that has stopped let go of the volume."""
        self._publish("unmount", self._registry.get(name).spec, {"container": container_id})

    # Steps

    async def _create(
        self, name: str, driver: str, options: dict[str, str], labels: dict[str, str]
    ) -> VolumeSpec:
        check_name(name)
        if driver not in ("", self._driver.name):
            raise NotFound(
                f'create {name}: error looking up volume plugin {driver}: plugin "{driver}"'
                " not found"
            )
        created_at = format_time(int(time.time()) * 10**9)
        spec = VolumeSpec(
            new_id(), name, self._driver.name, options, labels, created_at,
            ANONYMOUS_LABEL in labels,
        )  # fmt: skip
        async with AsyncExitStack() as undo:
            try:
                await asyncio.to_thread(self._driver.create, spec)
            except TiffinError as error:
                raise type(error)(f"create {name}: {error.message}") from error
            undo.push_async_callback(asyncio.to_thread, self._driver.remove, spec)
            await asyncio.to_thread(self._rows.insert, _row(spec))
            undo.pop_all()
        self._registry.add(spec)
        self._publish("create", spec)
        return spec

    async def _remove(self, state: VolumeState, operation: int | None) -> None:
        spec = state.spec
        if state.users:
            users = ", ".join(state.users)
            raise Conflict(f"remove {spec.name}: volume is in use - [{users}]")
        # From here on nobody can acquire it. If what follows fails, the next start sees it through.
        self._registry.discard(spec.name)
        try:
            await asyncio.to_thread(self._remove_row, spec, operation)
        except BaseException:
            self._registry.add(spec)
            raise
        if operation is None:
            await asyncio.to_thread(self._driver.remove, spec)
        self._publish("destroy", spec)

    def _remove_row(self, spec: VolumeSpec, operation: int | None) -> None:
        if operation is None:
            self._rows.delete(spec.id)
        else:
            self._rows.retire(_row(spec), operation, max(self._driver.usage(spec), 0))

    async def _retire_stray(self, identifier: str) -> None:
        """Keep the data of a volume that nobody knows any more, under its id, for some time."""
        row = VolumeRow(identifier, identifier, self._driver.name, {}, {}, "")
        operation = await self.bin.begin("recovery of volumes")
        if operation is None:
            log.warning("volume %s belongs to nobody; its data is left where it is", identifier)
            return
        size = max(await asyncio.to_thread(self._driver.usage, _spec(row)), 0)
        await asyncio.to_thread(self._rows.retire, row, operation, size)

    def _prunable(self, filters: Filters, *, named: bool) -> Iterator[VolumeState]:
        for state in self._registry.all():
            if (named or state.spec.anonymous) and filters.matches_labels(state.spec.labels):
                yield state

    async def _prune(self, filters: Filters, *, named: bool) -> VolumePruneReport:
        operation = await self.bin.begin("volume prune")
        deleted: list[str] = []
        reclaimed = 0
        for state in list(self._prunable(filters, named=named)):
            spec = state.spec
            size = await asyncio.to_thread(self._driver.usage, spec)
            async with self._changing:
                if state.users or self._registry.find(spec.name) is not state:
                    continue
                await self._remove(state, operation)
            deleted.append(spec.name)
            reclaimed += max(size, 0)
        return VolumePruneReport(volumes_deleted=deleted or None, space_reclaimed=reclaimed)

    def _publish(
        self, action: str, spec: VolumeSpec, attributes: Mapping[str, str] | None = None
    ) -> None:
        self._events.publish(
            "volume", action, spec.name, {"driver": spec.driver, **(attributes or {})}
        )

    def _wire(self, spec: VolumeSpec) -> Volume:
        return Volume(
            created_at=spec.created_at,
            driver=spec.driver,
            labels=spec.labels or None,
            mountpoint=self._driver.mountpoint(spec),
            name=spec.name,
            options=spec.options or None,
        )


def _spec(row: VolumeRow) -> VolumeSpec:
    return VolumeSpec(*row, ANONYMOUS_LABEL in row.labels)


def _row(spec: VolumeSpec) -> VolumeRow:
    return VolumeRow(spec.id, spec.name, spec.driver, spec.options, spec.labels, spec.created_at)
