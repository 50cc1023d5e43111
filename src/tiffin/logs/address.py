"""Addresses of log servers, `scheme://host:port` or `scheme:///path`; ValueError in Go's words."""

from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where to send logs: `network` is tcp, udp, tls, unix or unixgram.

    `host` is a path for the latter two, which have no port.
    """

    network: str
    host: str
    port: int = 0

    def __str__(self) -> str:
        """Return it as Go's net package prints it."""
        if self.network in ("unix", "unixgram"):
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def split_url(text: str) -> SplitResult:
    """Return the parts of a URL."""
    scheme, colon, _rest = text.partition(":")
    if colon and not scheme:
        raise ValueError(f'parse "{text}": missing protocol scheme')
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        port = text.rpartition(":")[2]
        reason = (
            f'invalid port ":{port}" after host' if "port" in str(error).lower() else str(error)
        )
        raise ValueError(f'parse "{text}": {reason}') from None
    return parts


def host_of(parts: SplitResult) -> str:
    """Return the host as it was written: names and addresses, without brackets."""
    return parts.hostname or ""
