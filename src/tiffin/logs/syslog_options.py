"""Options of the `syslog` driver; ValueError in Docker's words."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from tiffin.logs.address import ServerAddress, host_of, split_url
from tiffin.logs.option_names import ATTRIBUTES
from tiffin.logs.values import integer

DEFAULT_PORT = 514
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4"),
    *("local5", "local6", "local7"),
)
_KNOWN = frozenset(
    {"syslog-address", "syslog-facility", "syslog-format", "syslog-tls-ca-cert", "syslog-tls-cert",
     "syslog-tls-key", "syslog-tls-skip-verify"}
)  # fmt: skip


class SyslogFormat(Enum):
    """How a message is written."""

    LOCAL = ""
    """As syslog(3) does: RFC 3164 without the host's name."""
    RFC3164 = "rfc3164"
    RFC5424 = "rfc5424"
    RFC5424_MICRO = "rfc5424micro"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files, empty for none."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class SyslogOptions:
    """`address` None stands for the host's own syslog; `facility` is a number up to 23."""

    address: ServerAddress | None
    facility: int
    format: SyslogFormat
    tls: TlsFiles


def parse_syslog(options: Mapping[str, str]) -> SyslogOptions:
    """Return what the options ask for; ValueError."""
    for name in options:
        if name not in _KNOWN and name not in ATTRIBUTES:
            raise ValueError(f"unknown log opt '{name}' for syslog log driver")
    return SyslogOptions(
        address=_address(options.get("syslog-address", "")),
        facility=_facility(options.get("syslog-facility", "")),
        format=_format(options.get("syslog-format", "")),
        tls=TlsFiles(
            ca=options.get("syslog-tls-ca-cert", ""),
            certificate=options.get("syslog-tls-cert", ""),
            key=options.get("syslog-tls-key", ""),
            skip_verify="syslog-tls-skip-verify" in options,
        ),
    )


def _address(text: str) -> ServerAddress | None:
    if not text:
        return None
    parts = split_url(text)
    if parts.scheme in ("unix", "unixgram"):
        try:
            os.stat(parts.path)
        except OSError as error:
            reason = (error.strerror or "").lower()
            raise ValueError(f"stat {parts.path}: {reason}") from None
        return ServerAddress(parts.scheme, parts.path)
    if parts.scheme not in ("udp", "tcp", "tcp+tls"):
        raise ValueError(f"unsupported scheme: '{parts.scheme}'")
    network = "tls" if parts.scheme == "tcp+tls" else parts.scheme
    return ServerAddress(network, host_of(parts), parts.port or DEFAULT_PORT)


def _facility(text: str) -> int:
    if not text:
        return _FACILITIES.index("daemon")
    if text in _FACILITIES:
        return _FACILITIES.index(text)
    try:
        number = integer(text)
    except ValueError:
        number = -1
    if not 0 <= number < len(_FACILITIES):
        raise ValueError("invalid syslog facility")
    return number


def _format(text: str) -> SyslogFormat:
    try:
        return SyslogFormat(text)
    except ValueError:
        raise ValueError("Invalid syslog format") from None
