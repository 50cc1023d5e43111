"""Links on the default bridge: names for other containers, and what is told of them.

A link gives the linked container another name, `parent/alias`; the parent gets a line in its
/etc/hosts and variables in its environment. On other networks links are aliases of an endpoint.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.namespaces import shared_with
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.files import etc_files
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.registry import Registry
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.spec.ids import ContainerId

_OWN = ("HOME", "PATH")
"""Variables of a linked container that say nothing to others."""
_LEGACY_MODES = ("", "default", "bridge", "host", "none")


def split_link(link: str) -> tuple[str, str]:
    """Return the linked container and its alias: `db:database`, `/db:/web/database` or `db`.

    InvalidArgument for more or less than that.
    """
    if not link:
        raise InvalidArgument("empty string specified for links")
    target, colon, alias = link.partition(":")
    if ":" in alias or not target or (colon and not alias):
        raise InvalidArgument(f"bad format for links: {link}")
    target = target.strip("/")
    return target, alias.rsplit("/", 1)[-1] or target


def take_links(host: HostConfig, registry: Registry) -> dict[str, ContainerId]:
    """Take the links out of `host` and return the containers by alias; none on other networks.

    InvalidArgument for a container that does not exist or uses the host's network.
    """
    mode = host.network_mode
    if not host.links or not (mode in _LEGACY_MODES or shared_with(mode)):
        return {}
    found = {}
    for target, alias in map(split_link, host.links):
        found[alias] = _linkable(target, registry).id
    host.links = None
    return found


def _linkable(reference: str, registry: Registry) -> Container:
    while True:
        try:
            container = registry.find(reference)
        except NotFound as error:
            raise InvalidArgument(f"could not get container for {reference}: {error}") from error
        mode = container.spec.host.network_mode
        if mode == "host":
            raise InvalidArgument(
                "conflicting options: host type networking can't be used with links. This would"
                " result in undefined behavior"
            )
        if not shared_with(mode):
            return container
        reference = shared_with(mode)


def shown_host_config(context: Context, container: Container) -> HostConfig:
    """Return HostConfig with links as inspect shows them: `/db:/web/alias`."""
    if not container.spec.links:
        return container.spec.host
    shown = [
        f"/{child.name}:/{container.name}/{alias}"
        for alias, child in _children(context, container).items()
    ]
    return msgspec.structs.replace(container.spec.host, links=sorted(shown))


def _children(context: Context, container: Container) -> Mapping[str, Container]:
    found = {alias: context.registry.get(child) for alias, child in container.spec.links.items()}
    return {alias: child for alias, child in found.items() if child is not None}


async def link_environment(context: Context, container: Container) -> list[str]:
    """Return the variables that describe the linked containers; none on other networks.

    Conflict if one of them does not run.
    """
    if container.spec.host.network_mode not in ("default", "bridge"):
        return []
    out: list[str] = []
    for alias, child in _children(context, container).items():
        name = f"/{container.name}/{alias}"
        if not child.alive:
            raise Conflict(f"Cannot link to a non running container: /{child.name} AS {name}")
        settings = await context.networks.settings(child.networks())
        out += describe(name, alias, settings.ip_address, child.spec.config)
    return out


def describe(name: str, alias: str, address: str, config: Config) -> Iterator[str]:
    """Yield `ALIAS_NAME=…`, `ALIAS_PORT…=…` of exposed ports and `ALIAS_ENV_…=…`."""
    prefix = alias.upper().replace("-", "_")
    ports = sorted(map(_port, config.exposed_ports or ()))
    for position, (number, protocol) in enumerate(ports):
        url = f"{protocol}://{address}:{number}"
        if position == 0:
            yield f"{prefix}_PORT={url}"
        port = f"{prefix}_PORT_{number}_{protocol.upper()}"
        yield from (f"{port}={url}", f"{port}_ADDR={address}", f"{port}_PORT={number}",
                    f"{port}_PROTO={protocol}")  # fmt: skip
    yield f"{prefix}_NAME={name}"
    for item in config.env or ():
        variable, assigned, _ = item.partition("=")
        if assigned and variable not in _OWN:
            yield f"{prefix}_ENV_{item}"


def _port(text: str) -> tuple[int, str]:
    number, _, protocol = text.partition("/")
    return int(number.partition("-")[0]), protocol or "tcp"


async def announce(context: Context, child: Container) -> None:
    """Tell the containers that link to one that has just started what its address is now."""
    for name in context.registry.link_names(child.id):
        parent_name, _, alias = name.partition("/")
        parent = context.registry.find(parent_name)
        if parent.alive:
            settings = await context.networks.settings(child.networks())
            hosts = etc_files(context.roots, parent.id).hosts
            await asyncio.to_thread(_repoint, hosts, alias, settings.ip_address)


def _repoint(hosts: Path, alias: str, address: str) -> None:
    """Change the address of the line that begins with `alias`; what else is there stays."""
    if not address or not hosts.exists():
        return
    text = hosts.read_text()
    changed = re.sub(rf"^\S+(?=\t{re.escape(alias)}(?:\s|$))", address, text, flags=re.MULTILINE)
    if changed != text:
        hosts.write_text(changed)  # in place: the file is bind-mounted


async def unlink(context: Context, name: str) -> None:
    """Forget the link `parent/alias`, from the next start on; NotFound."""
    parent_name, _, alias = name.strip("/").partition("/")
    if not alias:
        raise Conflict("Conflict, cannot remove the default link name of the container")
    try:
        parent = context.registry.find(parent_name)
    except NotFound as error:
        raise NotFound(f"Cannot get parent /{parent_name} for link name /{name}") from error
    if alias not in parent.spec.links:
        raise NotFound(f"No such container: {name}")
    await _drop(context, parent, alias)


async def forget(context: Context, child: Container) -> None:
    """Drop all links to a container that is being removed."""
    for name in context.registry.link_names(child.id):
        parent_name, _, alias = name.partition("/")
        await _drop(context, context.registry.find(parent_name), alias)


async def _drop(context: Context, parent: Container, alias: str) -> None:
    async with parent.lock:
        kept = dict(parent.spec.links)
        child = context.registry.get(kept.pop(alias, ""))
        parent.spec = replace(parent.spec, links=kept)
        context.registry.unlink(f"{parent.name}/{alias}")
        await context.store.saved(parent)
    for changed in filter(None, (parent, child)):
        changed.changed()


def rename(registry: Registry, container: Container, old_name: str) -> None:
    """Let the names of a renamed container's links follow."""
    for alias, child in container.spec.links.items():
        registry.unlink(f"{old_name}/{alias}")
        register(registry, container.name, alias, child)


def register(registry: Registry, parent_name: str, alias: str, child: ContainerId) -> None:
    """Give a linked container its further name."""
    registry.link(f"{parent_name}/{alias}", child)
    found = registry.get(child)
    if found is not None:
        found.changed()
