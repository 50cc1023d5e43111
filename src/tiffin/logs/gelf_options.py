"""Options of the `gelf` driver; ValueError in Docker's words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiffin.logs.address import ServerAddress, host_of, split_url
from tiffin.logs.option_names import ATTRIBUTES
from tiffin.logs.values import integer

_BEST_SPEED = 1
_LOWEST_LEVEL, _HIGHEST_LEVEL = -1, 9


@dataclass(frozen=True, slots=True)
class GelfOptions:
    """`compression` is gzip, zlib or none; it is for UDP, reconnecting for TCP."""

    address: ServerAddress
    compression: str = "gzip"
    level: int = _BEST_SPEED
    reconnects: int = 3
    reconnect_delay_s: int = 1


def parse_gelf(options: Mapping[str, str]) -> GelfOptions:
    """Return what the options ask for; ValueError."""
    address = _address(options.get("gelf-address", ""))
    for name, value in options.items():
        _check(name, value, address.network)
    return GelfOptions(
        address=address,
        compression=options.get("gelf-compression-type", "gzip"),
        level=int(options.get("gelf-compression-level", _BEST_SPEED)),
        reconnects=int(options.get("gelf-tcp-max-reconnect", 3)),
        reconnect_delay_s=int(options.get("gelf-tcp-reconnect-delay", 1)),
    )


def _check(name: str, value: str, network: str) -> None:
    if name in ATTRIBUTES or name == "gelf-address":
        return
    if name in ("gelf-compression-level", "gelf-compression-type"):
        if network != "udp":
            raise ValueError("compression is only supported on UDP")
        good = value in ("gzip", "zlib", "none")
        if name == "gelf-compression-level":
            good = _is_integer(value, _LOWEST_LEVEL) and int(value) <= _HIGHEST_LEVEL
        if not good:
            raise ValueError(f'unknown value "{value}" for log opt "{name}" for gelf log driver')
    elif name in ("gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"):
        if network != "tcp":
            raise ValueError(f'"{name}" is only valid for TCP')
        if not _is_integer(value, 0):
            raise ValueError(f'"{name}" must be a positive integer')
    else:
        raise ValueError(f'unknown log opt "{name}" for gelf log driver')


def _is_integer(text: str, least: int) -> bool:
    try:
        return integer(text) >= least
    except ValueError:
        return False


def _address(text: str) -> ServerAddress:
    if not text:
        raise ValueError("gelf-address is a required parameter")
    parts = split_url(text)
    if parts.scheme not in ("udp", "tcp"):
        raise ValueError("gelf: endpoint needs to be TCP or UDP")
    if not re.search(r":\d+$", parts.netloc):
        raise ValueError("gelf: please provide gelf-address as proto://host:port")
    return ServerAddress(parts.scheme, host_of(parts), parts.port or 0)
