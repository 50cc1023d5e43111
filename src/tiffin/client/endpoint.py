"""Where a daemon listens: `unix://…`, `tcp://host:port` (with or without TLS), `ssh://user@host`."""

from typing import NamedTuple

DEFAULT_PORT = 2375
DEFAULT_TLS_PORT = 2376


class EndpointError(Exception):
    """The host string is not one that can be reached."""


class TlsFiles(NamedTuple):
    """PEM files for TLS; empty names are not used."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True


class Endpoint(NamedTuple):
    """A parsed host. `address` is a socket path, a host name, or a user@host for ssh."""

    scheme: str
    address: str
    port: int = 0
    tls: TlsFiles | None = None
    path: str = ""
    """For ssh: a remote socket path."""

    @property
    def text(self) -> str:
        """The form in which error messages name it."""
        if self.scheme == "unix":
            return f"unix://{self.address}"
        return f"{self.scheme}://{self.address}" + (f":{self.port}" if self.port else "")


def parse_endpoint(host: str, tls: TlsFiles | None = None) -> Endpoint:
    """Parse a `-H` value; EndpointError."""
    scheme, separator, rest = host.partition("://")
    if not separator:
        scheme, rest = "tcp", host
    if scheme == "unix":
        return Endpoint("unix", rest or "/var/run/docker.sock")
    if scheme == "ssh":
        address, _, path = rest.partition("/")
        address, port = _split_port(address, 0, host)
        return Endpoint("ssh", address, port, path=f"/{path}" if path else "")
    if scheme in ("tcp", "http", "https"):
        default = DEFAULT_TLS_PORT if tls else DEFAULT_PORT
        address, port = _split_port(rest.split("/")[0], default, host)
        return Endpoint("tcp", address or "127.0.0.1", port, tls)
    raise EndpointError(f"unable to parse docker host `{host}`")


def _split_port(text: str, default: int, host: str) -> tuple[str, int]:
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif ":" in text:
        address, _, port = text.rpartition(":")
    else:
        address, port = text, ""
    if port and not port.isdigit():
        raise EndpointError(f"unable to parse docker host `{host}`")
    return address, int(port) if port else default
