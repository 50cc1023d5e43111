"""Where a repository's registry is: mirrors, TLS or not, and which certificates count."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.errors import InvalidArgument
from tiffin.spec.reference import DEFAULT_DOMAIN

if TYPE_CHECKING:
    import ssl

DEFAULT_HOST = "registry-1.docker.io"
CERTIFICATES = Path("/etc/docker/certs.d")
_LOOPBACK = ("127.0.0.0/8", "::1/128")


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """The daemon's `registry-mirrors` and `insecure-registries`.

    `mirrors` are base URLs used for Docker Hub only; `insecure` are `host[:port]` or CIDR blocks.
    `certificates` holds a directory per `host[:port]` with `*.crt` (CAs) and `*.cert` + `*.key`.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    certificates: Path = CERTIFICATES

    def __post_init__(self) -> None:
        for mirror in self.mirrors:
            if not mirror.startswith(("http://", "https://")):
                raise InvalidArgument(
                    f"invalid mirror: no scheme specified for {mirror!r}: "
                    "must use either 'https://' or 'http://'"
                )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One base URL to try. `verify` tells whether the server's certificate must be valid."""

    url: str
    verify: bool = True
    mirror: bool = False
    certificates: Path = CERTIFICATES

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

        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        directory = self.certificates / self.host
        if directory.is_dir():
            for authority in sorted(directory.glob("*.crt")):
                context.load_verify_locations(authority)
            for certificate in sorted(directory.glob("*.cert")):
                context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context


async def endpoints(
    domain: str, options: RegistryOptions, *, mirrors: bool = True
) -> Sequence[Endpoint]:
    """Return the endpoints of `domain` in the order to try; `mirrors=False` for pushes."""
    found: list[Endpoint] = []
    if domain == DEFAULT_DOMAIN:
        if mirrors:
            found += [
                Endpoint(url.rstrip("/"), mirror=True, certificates=options.certificates)
                for url in options.mirrors
            ]
        domain = DEFAULT_HOST
    insecure = await is_insecure(domain, options.insecure)
    found.append(Endpoint(f"https://{domain}", not insecure, certificates=options.certificates))
    if insecure:
        found.append(Endpoint(f"http://{domain}", certificates=options.certificates))
    return found


async def is_insecure(domain: str, insecure: Sequence[str]) -> bool:
    """Tell whether plain HTTP and unverified TLS are acceptable: listed, or on loopback."""
    if domain in insecure:
        return True
    blocks = [_network(text) for text in (*insecure, *_LOOPBACK)]
    host = _host_of(domain)
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
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
