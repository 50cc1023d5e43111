"""Links on the default bridge: what a container learns of others by its environment."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from tiffin.api.types.containers import Config
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.errors import NotFound

_OWN = ("HOME", "PATH")
"""Variables of a linked container that say nothing to others."""


def split_link(link: str) -> tuple[str, str]:
    """Return the linked container and its alias: `db:database`, `/db:/web/database` or `db`."""
    target, _, alias = link.partition(":")
    target = target.strip("/")
    return target, alias.rsplit("/", 1)[-1] or target


async def link_environment(context: Context, container: Container) -> list[str]:
    """Return the variables that describe the linked containers; none on other networks."""
    host = container.spec.host
    if not host.links or host.network_mode not in ("default", "bridge"):
        return []
    out: list[str] = []
    for target, alias in map(split_link, host.links):
        other = context.registry.find(target)
        settings = await context.networks.settings(other.networks())
        name = f"/{container.name}/{alias}"
        out += describe(name, alias, settings.ip_address, other.spec.config)
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


async def unlink(context: Context, container: Container, alias: str) -> None:
    """Forget a link, from the next start on; NotFound."""
    async with container.lock:
        host = container.spec.host
        kept = [link for link in host.links or () if split_link(link)[1] != alias]
        if len(kept) == len(host.links or ()):
            raise NotFound(f"Cannot get link {alias} of container /{container.name}")
        host = msgspec.structs.replace(host, links=kept or None)
        container.spec = replace(container.spec, host=host)
        await context.store.saved(container)
        container.changed()
