"""Where a repository's registry is: mirrors, TLS or not, and which certificates count."""

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.errors import InvalidArgument
from tiffin.spec.reference import DEFAULT_DOMAIN

if TYPE_CHECKING:
    import ssl

DEFAULT_HOST = "registry-1.docker.io"
CERTIFICATES = (Path("/etc/docker/certs.d"), Path("/etc/tiffin/certs.d"))
_LOOPBACK = ("127.0.0.0/8", "::1/128")


class Order(StrEnum):
    """Which of a registry's endpoints a pull asks first."""

    MIRRORS_FIRST = "mirrors-first"
    REGISTRY_FIRST = "registry-first"
    MIRRORS_ONLY = "mirrors-only"


@dataclass(frozen=True, slots=True)
class RegistryRules:
    """How one registry is reached; `mirrors` are base URLs in the order to try.

    A mirror's path is put before the repository: `https://cache/hub` has `library/x` as
    `hub/library/x`.
    """

    mirrors: tuple[str, ...] = ()
    insecure: bool = False
    order: Order = Order.MIRRORS_FIRST

    def __post_init__(self) -> None:
        for mirror in self.mirrors:
            _check_mirror(mirror)


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How registries are reached.

    `mirrors` and `insecure` are Docker's `registry-mirrors` and `insecure-registries`: base URLs
    used for Docker Hub only; `host[:port]` or CIDR blocks. `registries` has rules by domain.
    `default` is the `[https://]host[:port]` where the names of Docker Hub are, if not there.
    Each of `certificates` holds a directory per `host[:port]` with `*.crt` (CAs) and `*.cert` +
    `*.key`.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    registries: Mapping[str, RegistryRules] = field(default_factory=dict)
    default: str = ""
    certificates: tuple[Path, ...] = CERTIFICATES

    def __post_init__(self) -> None:
        for mirror in self.mirrors:
            _check_mirror(mirror)

    def rules(self, domain: str) -> RegistryRules:
        """Return how a registry is reached, the older settings included."""
        rules = self.registries.get(domain, RegistryRules())
        if domain == DEFAULT_DOMAIN and self.mirrors:
            return replace(rules, mirrors=(*rules.mirrors, *self.mirrors))
        return rules

    @property
    def all_insecure(self) -> tuple[str, ...]:
        """Every host and block that may be spoken to in the clear."""
        named = (domain for domain, rules in self.registries.items() if rules.insecure)
        return (*self.insecure, *named)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One base URL to try, without a path. `prefix` is put before the names of repositories.

    `verify` tells whether the server's certificate must be valid, `insecure` which other hosts may
    be sent credentials in the clear.
    """

    url: str
    verify: bool = True
    mirror: bool = False
    prefix: str = ""
    insecure: tuple[str, ...] = ()
    certificates: tuple[Path, ...] = CERTIFICATES

    @property
    def host(self) -> str:
        """`host[:port]`."""
        return self.url.partition("://")[2].partition("/")[0]

    @property
    def is_tls(self) -> bool:
        """Whether the scheme is https."""
        return self.url.startswith("https://")

    def ssl_context(self) -> "ssl.SSLContext | bool":
        """Return what aiohttp wants for `ssl`; reads certificate files."""
        if not self.is_tls:
            return True
        import ssl  # a megabyte and a half that an idle daemon spares

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.verify:
            context.load_default_certs()  # takes longer than most requests
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for directory in (each / self.host for each in self.certificates):
            for authority in sorted(directory.glob("*.crt")):
                context.load_verify_locations(authority)
            for certificate in sorted(directory.glob("*.cert")):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context


async def endpoints(
    domain: str, options: RegistryOptions, *, mirrors: bool = True
) -> Sequence[Endpoint]:
    """Return the endpoints of `domain` in the order to try; `mirrors=False` for pushes."""
    rules = options.rules(domain)
    own = await _own(domain, options)
    if not mirrors or not rules.mirrors:
        return own
    copies = [await _mirror(url, options) for url in rules.mirrors]
    match rules.order:
        case Order.MIRRORS_FIRST:
            return [*copies, *own]
        case Order.REGISTRY_FIRST:
            return [*own, *copies]
        case Order.MIRRORS_ONLY:
            return copies


async def _own(domain: str, options: RegistryOptions) -> list[Endpoint]:
    """Return the endpoints of the registry itself: with TLS, and without where that may be."""
    insecure = options.all_insecure
    place = (options.default or DEFAULT_HOST) if domain == DEFAULT_DOMAIN else domain
    scheme, _, host = place.rpartition("://")
    is_open = options.rules(domain).insecure or await is_insecure(host, insecure)
    secure = Endpoint(
        f"https://{host}", not is_open, insecure=insecure, certificates=options.certificates
    )
    plain = replace(secure, url=f"http://{host}", verify=True)
    if scheme == "http":
        return [plain]
    return [secure, plain] if is_open and not scheme else [secure]


async def _mirror(url: str, options: RegistryOptions) -> Endpoint:
    scheme, _, rest = url.rstrip("/").partition("://")
    host, _, prefix = rest.partition("/")
    is_open = await is_insecure(host, options.all_insecure)
    return Endpoint(
        f"{scheme}://{host}", not is_open or scheme == "http", mirror=True, prefix=prefix,
        insecure=options.all_insecure, certificates=options.certificates,
    )  # fmt: skip


def _check_mirror(mirror: str) -> None:
    if not mirror.startswith(("http://", "https://")):
        raise InvalidArgument(
            f"invalid mirror: no scheme specified for {mirror!r}: "
            "must use either 'https://' or 'http://'"
        )


async def is_insecure(domain: str, insecure: Sequence[str]) -> bool:
    """Tell whether plain HTTP and unverified TLS are acceptable: listed, or on loopback."""
    if domain in insecure:
        return True
    blocks = [_network(text) for text in (*insecure, *_LOOPBACK)]
    host = _host_of(domain)
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        import asyncio  # not when a configuration is read, before it is known what to spare

        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return False  # the request itself will say that there is no such host
        addresses = [ipaddress.ip_address(str(answer[4][0]).split("%")[0]) for answer in answers]
    return any(block is not None and address in block for address in addresses for block in blocks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _host_of(domain: str) -> str:
    if domain.startswith("["):
        return domain[1:].partition("]")[0]
    return domain.partition(":")[0]
