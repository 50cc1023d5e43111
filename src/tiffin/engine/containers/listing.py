"""List containers: filters, human status, and summaries that encode fast."""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, Raw

from tiffin.api import codec
from tiffin.api.filters import Filters
from tiffin.api.types.networks import NetworkSettings
from tiffin.api.types.summary import (
    ContainerSummary,
    Port,
    SummaryHostConfig,
    SummaryNetworks,
)
from tiffin.engine.bundle.environment import command_line
from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.containers import inspection
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import UP, Status
from tiffin.errors import InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.spec.durations import in_words

KEYS = frozenset({
    "ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label",
    "label!", "name", "network", "publish", "since", "status", "volume",
})  # fmt: skip
_HEALTH = frozenset({"none", "starting", "healthy", "unhealthy"})
_STATES = frozenset(status.value for status in Status)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What to list; `limit` 0 is no limit."""

    every: bool = False
    limit: int = 0
    size: bool = False
    filters: Filters = Filters()  # noqa: RUF009  # immutable


async def list_containers(context: Context, options: ListOptions) -> list[ContainerSummary]:
    """Return summaries, the newest first; InvalidArgument for bad filters, NotFound in them."""
    chosen = await _choose(context, options)
    names = await _current_names(context, chosen)
    out = []
    for container in chosen:
        summary = await _summary(context, container)
        if names.get(summary.image, summary.image_id) != summary.image_id:
            summary.image = summary.image_id  # another image has the name now, or none
        if options.size:
            try:
                own, total = await asyncio.to_thread(inspection.sizes, context, container)
            except NotFound:
                continue  # removed meanwhile
            summary.size_rw, summary.size_root_fs = own, total
        out.append(summary)
    return out


async def _current_names(context: Context, chosen: Iterable[Container]) -> dict[str, str]:
    """Return the ids of the images that the containers' references mean today, "" for none."""
    current = {}
    for reference in {item.spec.config.image for item in chosen if item.spec.image_id}:
        try:
            current[reference] = str((await context.images.get(reference)).id)
        except (NotFound, InvalidArgument):
            current[reference] = ""
    return current


async def _choose(context: Context, options: ListOptions) -> list[Container]:
    filters = options.filters.validate(KEYS)
    _check_values(filters)
    every = options.every or options.limit > 0 or "status" in filters
    ordered = sorted(context.registry, key=lambda item: item.spec.created_ns, reverse=True)
    before, since = _moment(context, filters, "before"), _moment(context, filters, "since")
    images = await _ancestors(context, filters)
    chosen = []
    for container in ordered:
        if not every and container.status not in UP:
            continue
        created = container.spec.created_ns
        if (before is not None and created >= before) or (since is not None and created <= since):
            continue
        if images is not None and container.spec.image_id not in images:
            continue
        names = (container.name, *context.registry.link_names(container.id))
        if _matches(container, names, filters) and await _matches_networks(
            context, container, filters
        ):
            chosen.append(container)
            if options.limit and len(chosen) == options.limit:
                break
    return chosen


def _check_values(filters: Filters) -> None:
    for state in filters.get("status"):
        if state not in _STATES:
            raise InvalidArgument(f"invalid filter 'status={state}'")
    for health in filters.get("health"):
        if health not in _HEALTH:
            raise InvalidArgument(f"invalid filter 'health={health}'")
    for code in filters.get("exited"):
        if not re.fullmatch(r"-?\d+", code):
            raise InvalidArgument(f"invalid filter 'exited={code}'")
    filters.boolean("is-task")
    for key in ("publish", "expose"):
        for value in filters.get(key):
            _port_range(key, value)


def _moment(context: Context, filters: Filters, key: str) -> int | None:
    moments = [context.registry.find(ref).spec.created_ns for ref in filters.get(key)]
    if not moments:
        return None
    return min(moments) if key == "before" else max(moments)


async def _ancestors(context: Context, filters: Filters) -> set[str] | None:
    """Return the ids of images that are, or are built upon, one of the `ancestor`s."""
    if "ancestor" not in filters:
        return None
    ancestors = await _images(context, filters.get("ancestor"))
    used = await _images(context, {item.spec.image_id for item in context.registry})
    descended = {
        image.id for image in used if any(_descends(image, ancestor) for ancestor in ancestors)
    }
    return {str(image) for image in (*(item.id for item in ancestors), *descended)}


async def _images(context: Context, references: Iterable[str]) -> list[Image]:
    found = []
    for reference in filter(None, references):
        try:
            found.append(await context.images.get(reference))
        except NotFound:
            continue
    return found


def _descends(image: Image, ancestor: Image) -> bool:
    """Tell whether the image's history and layers begin with those of the other."""
    own, other = image.config, ancestor.config
    layers, steps = len(other.rootfs.diff_ids), len(other.history)
    return (
        bool(layers)
        and own.rootfs.diff_ids[:layers] == other.rootfs.diff_ids
        and own.history[:steps] == other.history
    )


def _matches(container: Container, names: Sequence[str], filters: Filters) -> bool:
    spec, instance = container.spec, container.instance
    if not filters.matches_labels(spec.config.labels):
        return False
    patterns = filters.get("name")
    if patterns and not any(_found(pattern, name) for pattern in patterns for name in names):
        return False
    if not filters.fuzzy("id", container.id):
        return False
    if not filters.exact("status", instance.status):
        return False
    if "is-task" in filters and filters.boolean("is-task"):
        return False
    if "exited" in filters and (
        instance.status in UP
        or not instance.started_ns
        or not filters.exact("exited", str(instance.exit_code))
    ):
        return False
    health = container.health.status if container.health else "none"
    return (
        filters.exact("health", health)
        and filters.exact("isolation", spec.host.isolation)
        and _matches_volume(container, filters.get("volume"))
        and _matches_exposed(container, filters.get("expose"))
    )


def _found(pattern: str, name: str) -> bool:
    if pattern in (name, f"/{name}"):
        return True
    try:
        return re.search(pattern, f"/{name}") is not None or re.search(pattern, name) is not None
    except re.error:
        return False


def _matches_volume(container: Container, wanted: list[str]) -> bool:
    if not wanted:
        return True
    return any(
        value in (point.volume or point.source, point.target)
        for value in wanted
        for point in container.spec.mounts
    )


def _port_range(key: str, text: str) -> tuple[range, str]:
    ports, _, protocol = text.partition("/")
    low, _, high = ports.partition("-")
    if not low.isdigit() or (high and not high.isdigit()):
        raise InvalidArgument(f"invalid filter '{key}={text}'")
    return range(int(low), int(high or low) + 1), protocol or "tcp"


def _matches_exposed(container: Container, wanted: list[str]) -> bool:
    if not wanted:
        return True
    exposed = container.spec.config.exposed_ports or {}
    for text in wanted:
        ports, protocol = _port_range("expose", text)
        if any(f"{port}/{protocol}" in exposed for port in ports):
            return True
    return False


async def _matches_networks(context: Context, container: Container, filters: Filters) -> bool:
    networks, published = filters.get("network"), filters.get("publish")
    if not networks and not published:
        return True
    settings = await context.networks.settings(container.networks())
    if networks and not any(
        name in networks or (item.network_id and item.network_id.startswith(tuple(networks)))
        for name, item in settings.networks.items()
    ):
        return False
    return not published or _matches_published(settings, published)


def _matches_published(settings: NetworkSettings, wanted: list[str]) -> bool:
    ports = _ports(settings, {})
    for text in wanted:
        numbers, protocol = _port_range("publish", text)
        if any(
            port.type == protocol and port.public_port in numbers
            for port in ports
            if port.public_port is not UNSET
        ):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Derived:
    """The parts of a summary that only change with the container's networks or configuration."""

    names: list[str]
    command: str
    networks: SummaryNetworks
    mounts: Raw
    ports: list[Port]
    host: SummaryHostConfig


async def _summary(context: Context, container: Container) -> ContainerSummary:
    derived = container.summary_cache.get("summary")
    if not isinstance(derived, _Derived):
        settings = await context.networks.settings(container.networks())
        derived = _derive(container, settings, context.registry.link_names(container.id))
        if time.monotonic() >= container.volatile_until:
            container.summary_cache["summary"] = derived
    spec = container.spec
    return ContainerSummary(
        id=container.id,
        names=derived.names,
        image=_image_name(spec.config.image, spec.image_id),
        image_id=spec.image_id,
        command=derived.command,
        created=spec.created_ns // 1_000_000_000,
        ports=derived.ports,
        labels=spec.config.labels or {},
        state=container.status,
        status=human_status(container, time.time()),
        host_config=derived.host,
        network_settings=derived.networks,
        mounts=derived.mounts,
    )


def _image_name(reference: str, image_id: str) -> str:
    return reference or image_id


def _derive(container: Container, settings: NetworkSettings, link_names: Sequence[str]) -> _Derived:
    spec = container.spec
    shown = [point.to_wire() for point in spec.mounts if point.kind is not MountKind.TMPFS]
    annotations = spec.host.annotations
    return _Derived(
        names=[f"/{name}" for name in (container.name, *link_names)],
        command=" ".join(_quoted(item) for item in command_line(spec.config)),
        networks=SummaryNetworks(networks=Raw(codec.encode(settings.networks))),
        mounts=Raw(codec.encode(shown)),
        ports=_ports(settings, spec.config.exposed_ports or {}),
        host=SummaryHostConfig(
            network_mode=spec.host.network_mode or UNSET,
            annotations=annotations or UNSET,
        ),
    )


def _quoted(argument: str) -> str:
    if not argument or set(argument) & set(" \t\n\"'\\|;&$`()<>*?[]{}!#~"):
        return "'" + argument.replace("'", "'\\''") + "'"
    return argument


def _ports(settings: NetworkSettings, exposed: dict[str, dict[str, object]]) -> list[Port]:
    out = []
    for key in {**dict.fromkeys(exposed), **dict.fromkeys(settings.ports)}:
        number, _, protocol = key.partition("/")
        if not number.isdigit():
            continue
        bindings = settings.ports.get(key) or ()
        out += [
            Port(
                ip=binding.host_ip or UNSET,
                private_port=int(number),
                public_port=int(binding.host_port),
                type=protocol or "tcp",
            )
            for binding in bindings
            if binding.host_port.isdigit()
        ]
        if not bindings and settings.ports:
            out.append(Port(private_port=int(number), type=protocol or "tcp"))
    return out


def human_status(container: Container, now: float) -> str:
    """Return `Up 3 seconds (healthy)`, `Exited (0) 2 minutes ago`, …."""
    instance = container.instance
    status = instance.status
    if status in UP - {Status.RESTARTING}:
        up = in_words(now - instance.started_ns / 1e9)
        if status is Status.PAUSED:
            return f"Up {up} (Paused)"
        health = container.health.status if container.health else ""
        word = "health: starting" if health == "starting" else health
        return f"Up {up} ({word})" if word else f"Up {up}"
    if status is Status.RESTARTING:
        ago = in_words(now - instance.finished_ns / 1e9)
        return f"Restarting ({instance.exit_code}) {ago} ago"
    if status is Status.REMOVING:
        return "Removal In Progress"
    if status is Status.DEAD:
        return "Dead"
    if not instance.finished_ns:
        return "Created"
    ago = in_words(now - instance.finished_ns / 1e9)
    return f"Exited ({instance.exit_code}) {ago} ago"


def encode(summaries: list[ContainerSummary]) -> bytes:
    """Encode a list in one go."""
    return msgspec.json.encode(summaries)
