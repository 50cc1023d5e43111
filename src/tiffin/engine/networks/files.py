"""The texts of a container's /etc/hosts and /etc/resolv.conf."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.engine.networks.options import NetworkOptions
from tiffin.errors import InvalidArgument
from tiffin.networks.resolver_redirect import RESOLVER

PUBLIC_RESOLVERS = ("8.8.8.8", "8.8.4.4")
HOST_GATEWAY = "host-gateway"
HOST_NAME_OF_HOST = "host.docker.internal"
"""Lets a container find its host under the name that developers' desktops use."""

LOCAL_LINES = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::\tip6-localnet",
    "ff00::\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)

_STUB_FILE = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class Resolvers:
    """What a resolv.conf says."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Resolvers":
        """Read resolv.conf(5); of several `search` or `domain` lines the last counts."""
        servers: list[str] = []
        search: tuple[str, ...] = ()
        options: list[str] = []
        for line in text.splitlines():
            keyword, *rest = re.split(r"[#;]", line, maxsplit=1)[0].split() or [""]
            if keyword == "nameserver" and rest:
                servers.append(rest[0])
            elif keyword in ("search", "domain"):
                search = tuple(rest)
            elif keyword == "options":
                options += rest
        return cls(tuple(servers), search, tuple(options))

    def text(self) -> str:
        """Write resolv.conf(5)."""
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search:
            lines.append("search " + " ".join(self.search))
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "".join(f"{line}\n" for line in lines)


def host_resolvers(path: Path = Path("/etc/resolv.conf")) -> Resolvers:
    """Read the host's own settings; none if there is no file."""
    try:
        return Resolvers.parse(path.read_text(errors="replace"))
    except FileNotFoundError:
        return Resolvers()


def reachable_resolvers(host: Resolvers) -> tuple[str, ...]:
    """Return the host's name servers that a container can reach too."""
    servers = _not_loopback(host.servers)
    if not servers and host.servers:
        # A local stub is in front: systemd-resolved tells what is behind it.
        servers = _not_loopback(host_resolvers(_STUB_FILE).servers)
    return servers or PUBLIC_RESOLVERS


def wanted_resolvers(
    container: ContainerNetworks, options: NetworkOptions, host: Resolvers
) -> Resolvers:
    """Merge the container's, the daemon's and the host's settings: the first given counts."""
    search = tuple(container.dns_search) or options.dns_search or host.search
    return Resolvers(
        servers=tuple(container.dns) or options.dns,
        search=() if search == (".",) else search,
        options=tuple(container.dns_options) or options.dns_options or host.options,
    )


def resolv_conf(wanted: Resolvers, host: Resolvers, *, embedded: bool, isolated: bool) -> str:
    """Return the text for a container with (`embedded`) or without a resolver of its own.

    `isolated`: with the host's own namespace (`host`) every name server is reachable.
    """
    if embedded:
        options = tuple(o for o in wanted.options if not o.startswith("ndots:"))
        ndots = next((o for o in wanted.options if o.startswith("ndots:")), "ndots:0")
        return Resolvers((RESOLVER,), wanted.search, (*options, ndots)).text()
    servers = wanted.servers
    if not servers:
        servers = reachable_resolvers(host) if isolated else host.servers
    return Resolvers(servers, wanted.search, wanted.options).text()


def upstreams(wanted: Resolvers, host: Resolvers) -> tuple[str, ...]:
    """Return whom the shim asks; it lives in the host's namespace, so loopback is fine."""
    return wanted.servers or host.servers or PUBLIC_RESOLVERS


def hosts(
    container: ContainerNetworks,
    addresses: Iterable[str],
    *,
    gateways: Sequence[str],
    names_host: bool = True,
    links: Iterable[tuple[str, Sequence[str]]] = (),
) -> str:
    """Return the text of /etc/hosts.

    `addresses` are the container's own, `gateways` what `host-gateway` stands for (`names_host`: it
    has a name in any case), `links` the address and the names of each linked container.
    """
    own = container.hostname
    if container.domainname:
        own = f"{container.hostname}.{container.domainname} {container.hostname}"
    elif "." in own:
        own = f"{own} {own.partition('.')[0]}"
    extra = extra_hosts(container.extra_hosts, gateways)
    lines = [*LOCAL_LINES, *(f"{address}\t{name}" for address, name in extra)]
    lines += [f"{address}\t{' '.join(names)}" for address, names in links]
    lines += [f"{address}\t{own}" for address in addresses]
    if names_host and gateways and all(name != HOST_NAME_OF_HOST for _address, name in extra):
        lines.append(f"{gateways[0]}\t{HOST_NAME_OF_HOST}")
    return "".join(f"{line}\n" for line in lines)


def extra_hosts(entries: Iterable[str], gateways: Sequence[str]) -> list[tuple[str, str]]:
    """Parse `name:address` (also `name=address`); InvalidArgument names the entry."""
    found: list[tuple[str, str]] = []
    for entry in entries:
        check_line_words("add-host", [entry])
        name, separator, text = entry.partition("=" if "=" in entry else ":")
        if not separator or not name:
            raise InvalidArgument(f"bad format for add-host: {entry!r}")
        if text == HOST_GATEWAY:
            if not gateways:
                raise InvalidArgument(f"unable to derive the IP value for host-gateway of {name!r}")
            found += [(gateway, name) for gateway in gateways]
            continue
        text = text.removeprefix("[").removesuffix("]")
        try:
            found.append((str(ip_address(text)), name))
        except ValueError as error:
            raise InvalidArgument(f"invalid IP address in add-host: {text!r}") from error
    return found


def check_line_words(option: str, values: Iterable[str] | None) -> None:
    """Raise InvalidArgument for what would write further words or lines into a file of names."""
    for value in values or ():
        if not value or not value.isprintable() or set(value) & set(" #"):
            raise InvalidArgument(f"invalid {option}: {value!r}")


def _not_loopback(servers: Sequence[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for server in servers:
        try:
            if not ip_address(server.partition("%")[0]).is_loopback:
                kept.append(server)
        except ValueError:
            continue
    return tuple(kept)
