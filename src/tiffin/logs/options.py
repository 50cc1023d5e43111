"""Log options as clients give them, checked when a container is created.

Rotation is on by default (unlike Docker's `json-file`): `max-size=20m`, `max-file=5`. Sizes are
decimal as in Docker: `10m` is 10 000 000 bytes.

Drivers that send logs elsewhere keep a copy here, for `docker logs`; the options `cache-…` are the
file options of that copy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tiffin.errors import InvalidArgument
from tiffin.logs import values
from tiffin.logs.option_names import ATTRIBUTES

_T = TypeVar("_T")

DEFAULT_MAX_SIZE = 20_000_000
DEFAULT_MAX_FILES = 5
DEFAULT_BUFFER = 1_000_000
"""Bytes that a driver may lag behind, with `mode=non-blocking`."""

FILE_DRIVERS = ("json-file", "local")
REMOTE_DRIVERS = ("fluentd", "gelf", "journald", "syslog")
REGISTERED = tuple(sorted((*FILE_DRIVERS, *REMOTE_DRIVERS)))
"""Drivers that `docker info` lists; `none` is known besides."""

_FILE = frozenset({"max-size", "max-file", "compress"})
_CACHE = "cache-"
BUILT_IN = frozenset(
    {"mode", "max-buffer-size", "cache-disabled", *(_CACHE + name for name in _FILE | ATTRIBUTES)}
)
"""Options that every driver has."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Rotation of a file driver: bytes (0 for unlimited), number of files in all."""

    max_size: int
    max_files: int
    compress: bool


def validate(driver: str, options: Mapping[str, str]) -> None:
    """Raise InvalidArgument in Docker's words for an unknown driver or a bad option."""
    if driver == "none":
        return
    _validate_buffer(options)
    has_cache(options)
    if driver not in REGISTERED:
        raise InvalidArgument(f"logger: no log driver named '{driver}' is registered")
    own = {name: value for name, value in options.items() if name not in BUILT_IN}
    if driver in FILE_DRIVERS:
        _check_names(driver, own, _FILE)
        parse(driver, own)
        return
    try:
        _parser(driver)(own)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None
    if has_cache(options):
        cache(options)


def _validate_buffer(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("blocking", "non-blocking", ""):
        raise InvalidArgument(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidArgument(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
            )
        try:
            values.binary_size(options["max-buffer-size"])
        except ValueError as error:
            raise InvalidArgument(f"error parsing option max-buffer-size: {error}") from None


def _check_names(driver: str, options: Mapping[str, str], known: frozenset[str]) -> None:
    for name in options:
        if name not in known and name not in ATTRIBUTES:
            where = "log driver local" if driver == "local" else f"{driver} log driver"
            raise InvalidArgument(f"unknown log opt '{name}' for {where}")


def _parser(driver: str) -> Callable[[Mapping[str, str]], Any]:
    # Each is loaded where a container uses it: most engines never do.
    if driver == "syslog":
        from tiffin.logs.syslog_options import parse_syslog

        return parse_syslog
    if driver == "fluentd":
        from tiffin.logs.fluentd_options import parse_fluentd

        return parse_fluentd
    if driver == "gelf":
        from tiffin.logs.gelf_options import parse_gelf

        return parse_gelf
    return lambda options: _check_names("journald", options, frozenset())


def is_cache(name: str) -> bool:
    """Whether an option is about the copy that drivers keep which send logs elsewhere."""
    return name.startswith(_CACHE)


def has_cache(options: Mapping[str, str]) -> bool:
    """Whether a driver that sends logs elsewhere is to keep a copy; InvalidArgument."""
    disabled = options.get("cache-disabled", "")
    try:
        return not (disabled and values.boolean(disabled))
    except ValueError:
        raise InvalidArgument(f"invalid value for option cache-disabled: {disabled}") from None


def cache(options: Mapping[str, str]) -> FileOptions:
    """Return the rotation of that copy, which the driver `local` would have; InvalidArgument."""
    own = {name.removeprefix(_CACHE): value for name, value in options.items() if is_cache(name)}
    return parse("local", own)


def buffer_size(options: Mapping[str, str]) -> int | None:
    """Return how many bytes may be buffered before some are dropped; None for `blocking`."""
    if options.get("mode") != "non-blocking":
        return None
    text = options.get("max-buffer-size", "")
    return values.binary_size(text) if text else DEFAULT_BUFFER


def parse(driver: str, options: Mapping[str, str]) -> FileOptions:
    """Return the rotation that the options of a file driver ask for; InvalidArgument."""
    size = options.get("max-size", "")
    max_size = DEFAULT_MAX_SIZE
    if size == "-1":
        max_size = 0
    elif size:
        max_size = _value("max-size", size, values.decimal_size)
        if max_size <= 0:
            raise InvalidArgument("max-size must be a positive number")
    max_files = DEFAULT_MAX_FILES
    if options.get("max-file"):
        max_files = _value("max-file", options["max-file"], values.integer)
        if max_files < 1:
            raise InvalidArgument("max-file cannot be less than 1")
    wanted = options.get("compress", "")
    compress = _value("compress", wanted, values.boolean) if wanted else driver == "local"
    if compress and wanted and (max_files < 2 or not max_size):
        raise InvalidArgument(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    return FileOptions(max_size, max_files, compress and max_files > 1)


def _value(name: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid value for {name}: {error}") from None
