"""The service of volumes, as routes, containers and Compose's words see it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from tiffin.api.filters import Filters
from tiffin.api.types.volumes import Volume, VolumePruneReport, VolumeUsage
from tiffin.engine.events import Events
from tiffin.engine.volumes.names import ANONYMOUS_LABEL, check_name
from tiffin.engine.volumes.populate import populate
from tiffin.engine.volumes.registry import VolumeRegistry, VolumeState
from tiffin.errors import Conflict, NotFound, TiffinError
from tiffin.spec.ids import new_id
from tiffin.spec.mount import Mount
from tiffin.state.volumes import VolumeRow, VolumeRows
from tiffin.volumes.driver import VolumeDriver, VolumeSpec

LIST_FILTERS = frozenset({"dangling", "driver", "label", "name"})
PRUNE_FILTERS = frozenset({"all", "label", "label!"})


class RecoverableDriver(VolumeDriver, Protocol):
    """A driver that keeps its volumes itself, and cleans up and undoes."""

    def recover(self, known_ids: set[str]) -> None:
        """Clean up what belongs to none of these volumes."""

    def restore(self, name: str) -> VolumeSpec | None:
        """Bring back the volume of that name that was removed last; None if there is none."""


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

    async def recover(self) -> None:
        """Read the table, clean up after a crash; containers then `acquire` what they use."""
        for row in await asyncio.to_thread(self._rows.all):
            self._registry.add(_spec(row))
        known = {state.spec.id for state in self._registry.all()}
        await asyncio.to_thread(self._driver.recover, known)

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

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume; Conflict if it is in use, NotFound unless `force`."""
        async with self._changing:
            if force and self._registry.find(name) is None:
                return
            await self._remove(self._registry.get(name))

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

    async def restore(self, name: str) -> Volume:
        """Bring back the volume of that name that was removed last; NotFound, Conflict."""
        async with self._changing:
            if self._registry.find(name) is not None:
                raise Conflict(f"restore {name}: a volume of that name exists")
            spec = await asyncio.to_thread(self._driver.restore, name)
            if spec is None:
                raise NotFound(f"restore {name}: no such volume in the trash")
            await asyncio.to_thread(self._rows.insert, _row(spec))
            self._registry.add(spec)
        self._publish("create", spec)
        return self._wire(spec)

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
        created_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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

    async def _remove(self, state: VolumeState) -> None:
        spec = state.spec
        if state.users:
            users = ", ".join(state.users)
            raise Conflict(f"remove {spec.name}: volume is in use - [{users}]")
        # From here on nobody can acquire it. If what follows fails, the next start sees it through.
        self._registry.discard(spec.name)
        try:
            await asyncio.to_thread(self._rows.delete, spec.id)
        except BaseException:
            self._registry.add(spec)
            raise
        await asyncio.to_thread(self._driver.remove, spec)
        self._publish("destroy", spec)

    async def _prune(self, filters: Filters, *, named: bool) -> VolumePruneReport:
        deleted: list[str] = []
        reclaimed = 0
        for state in self._registry.all():
            spec = state.spec
            if not (named or spec.anonymous) or not filters.matches_labels(spec.labels):
                continue
            size = await asyncio.to_thread(self._driver.usage, spec)
            async with self._changing:
                if state.users or self._registry.find(spec.name) is not state:
                    continue
                await self._remove(state)
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
