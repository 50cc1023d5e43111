"""Options of the `fluentd` driver; ValueError in Docker's words."""

from collections.abc import Mapping
from dataclasses import dataclass

from tiffin.logs.address import ServerAddress, host_of, split_url
from tiffin.logs.option_names import ATTRIBUTES
from tiffin.logs.values import binary_size, boolean, integer
from tiffin.spec.durations import parse_duration

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 24224
DEFAULT_BUFFER_LIMIT = 1 << 20
MOST_RETRIES = (1 << 31) - 1
_SHORTEST_RECONNECT_NS = 100_000_000
_LONGEST_RECONNECT_NS = 10_000_000_000
_KNOWN = frozenset(
    {"fluentd-address", "fluentd-async", "fluentd-async-reconnect-interval", "fluentd-buffer-limit",
     "fluentd-max-retries", "fluentd-request-ack", "fluentd-retry-wait",
     "fluentd-sub-second-precision", "fluentd-write-timeout", "fluentd-read-timeout"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FluentdOptions:
    """`buffer_limit` in bytes; 0 seconds stand for no limit (or no regular reconnecting)."""

    address: ServerAddress
    asynchronous: bool
    reconnect_s: float
    buffer_limit: int
    retries: int
    retry_wait_s: float
    sub_second: bool
    request_ack: bool
    write_timeout_s: float
    read_timeout_s: float


def parse_fluentd(options: Mapping[str, str]) -> FluentdOptions:
    """Return what the options ask for; ValueError."""
    for name in options:
        if name not in _KNOWN and name not in ATTRIBUTES:
            raise ValueError(f"unknown log opt '{name}' for fluentd log driver")
    text = options.get("fluentd-address", "")
    try:
        address = _address(text)
    except ValueError as error:
        raise ValueError(f"invalid fluentd-address ({text}): {error}") from None
    limit = options.get("fluentd-buffer-limit", "")
    wait = options.get("fluentd-retry-wait", "")
    return FluentdOptions(
        address=address,
        asynchronous=_flag(options, "fluentd-async"),
        reconnect_s=_reconnect(options.get("fluentd-async-reconnect-interval", "")),
        buffer_limit=binary_size(limit) if limit else DEFAULT_BUFFER_LIMIT,
        retries=_retries(options.get("fluentd-max-retries", "")),
        retry_wait_s=parse_duration(wait) / 1e9 if wait else 1.0,
        sub_second=_flag(options, "fluentd-sub-second-precision"),
        request_ack=_flag(options, "fluentd-request-ack"),
        write_timeout_s=_timeout(options, "fluentd-write-timeout"),
        read_timeout_s=_timeout(options, "fluentd-read-timeout"),
    )


def _address(text: str) -> ServerAddress:
    if not text:
        return ServerAddress("tcp", DEFAULT_HOST, DEFAULT_PORT)
    parts = split_url(text if "://" in text else f"tcp://{text}")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("path is empty")
        return ServerAddress("unix", parts.path)
    if parts.scheme not in ("tcp", "tls"):
        raise ValueError(f"unsupported scheme: '{parts.scheme}'")
    if parts.path:
        raise ValueError("should not contain a path element")
    return ServerAddress(parts.scheme, host_of(parts) or DEFAULT_HOST, parts.port or DEFAULT_PORT)


def _flag(options: Mapping[str, str], name: str) -> bool:
    return bool(options.get(name)) and boolean(options[name])


def _reconnect(text: str) -> float:
    name = "fluentd-async-reconnect-interval"
    if not text:
        return 0.0
    try:
        interval = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"invalid value for {name}: {error}") from None
    if interval and not _SHORTEST_RECONNECT_NS <= interval <= _LONGEST_RECONNECT_NS:
        raise ValueError(
            f'invalid value for {name}: value ("{text}") must be between 100ms and 10s'
        )
    return interval / 1e9


def _retries(text: str) -> int:
    if not text:
        return MOST_RETRIES
    number = integer(text, "ParseUint")
    if text[0] in "+-":
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    if number >= 1 << 32:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    if number > MOST_RETRIES:
        raise ValueError("invalid fluentd-max-retries: value out of range")
    return number


def _timeout(options: Mapping[str, str], name: str) -> float:
    text = options.get(name, "")
    if not text:
        return 0.0
    try:
        timeout = parse_duration(text)
    except ValueError as error:
        raise ValueError(f"invalid value for {name}: value must be a duration: {error}") from None
    if timeout < 0:
        raise ValueError(f"invalid value for {name}: value must be a duration that is non-negative")
    return timeout / 1e9
