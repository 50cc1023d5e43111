"""The daemon's configuration: flags and daemon.json merged into one frozen value."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiffin.daemon.config_bridge import BridgeDefaults, bridge_defaults, check_address, shown
from tiffin.daemon.features import cdi_directories, ignored_features
from tiffin.daemon.options import (
    BOOL,
    BY_FLAG,
    BY_KEY,
    DRIVER_OPTIONS,
    INTEGER,
    LIST,
    MAP,
    OBJECT,
    POOLS,
    RUNTIMES,
    STRING,
    ULIMITS,
)
from tiffin.daemon.registries import default_registry, registry_rules
from tiffin.engine import runtimes
from tiffin.engine.roots import DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, Roots
from tiffin.engine.tasks.contract import OciBinary
from tiffin.errors import InvalidArgument
from tiffin.logs import options as log_options
from tiffin.registry.endpoints import RegistryRules
from tiffin.spec.durations import parse_duration

DEFAULT_FILE = Path("/etc/tiffin/daemon.json")
DEFAULT_TLS_DIRECTORY = Path("/etc/tiffin")
RELOADABLE = frozenset(
    {"debug", "labels", "log-level", "registry-mirrors", "insecure-registries"}
    | {"registries", "default-registry"}
    | {"runtimes", "default-runtime", "trash-age", "trash-size"}
    | {"max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"}
)
"""Keys that SIGHUP applies to a running daemon."""
_LEVELS = ("debug", "info", "warn", "error", "fatal", "panic")
_SHAPES: dict[str, type | tuple[type, ...]] = {
    BOOL: bool, INTEGER: int, LIST: list, POOLS: list, MAP: dict, ULIMITS: dict, OBJECT: dict,
    RUNTIMES: dict, DRIVER_OPTIONS: dict,
    STRING: (str, int),
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """TLS of the TCP sockets; `verify` asks clients for a certificate."""

    verify: bool
    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class RegistryDefaults:
    """Which registries to ask, and how carefully."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    rules: Mapping[str, RegistryRules] = field(default_factory=dict)
    """By domain."""
    default: str = ""
    downloads: int = 3
    uploads: int = 5
    attempts: int = 5


@dataclass(frozen=True, slots=True)
class ContainerDefaults:
    """What a container gets when its configuration does not say."""

    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    log_driver: str = "json-file"
    log_options: Mapping[str, str] = field(default_factory=dict)
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(soft, hard) by name."""
    runtime: str = runtimes.OWN
    runtimes: Mapping[str, OciBinary] = field(default_factory=dict)
    init: bool = False
    init_path: str = ""
    shm_bytes: int = 64 << 20
    ipc_mode: str = "private"
    cgroupns_mode: str = ""
    cgroup_parent: str = ""
    userns_remap: str = ""
    no_new_privileges: bool = False
    seccomp_profile: str = ""
    cdi_directories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the daemon was told."""

    roots: Roots
    hosts: tuple[str, ...]
    pidfile: Path | None
    group: str
    group_required: bool
    """The group was named by the user, so that it must exist."""
    tls: TlsFiles | None
    debug: bool
    log_level: str
    log_format: str
    labels: tuple[str, ...]
    storage_driver: str
    bridge: BridgeDefaults
    registry: RegistryDefaults
    containers: ContainerDefaults
    file: Path
    trash_age_s: float = 24 * 3600.0
    """How long what was removed can be undone; 0 keeps nothing."""
    trash_bytes: int = 0
    """How much of it is kept at most; 0 is no limit."""
    warnings: tuple[str, ...] = ()


def load(flags: Mapping[str, Any]) -> Config:
    """Merge `flags` (of `flags.parse`) with the file that they or the default name.

    InvalidArgument for unknown keys, values of the wrong kind, and what is given in both places.
    """
    path = Path(flags.get("config-file", DEFAULT_FILE))
    try:
        from_file = _read(path, required="config-file" in flags)
        _refuse_conflicts(flags, from_file)
    except InvalidArgument as error:
        raise InvalidArgument(
            f"unable to configure the Docker daemon with file {path}: {error}"
        ) from error
    by_key = {BY_FLAG[name].key: value for name, value in flags.items()}
    return _build({**from_file, **by_key}, path)


def _read(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError as error:
        if required:
            raise InvalidArgument(f"open {path}: no such file or directory") from error
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"open {path}: {error}") from error
    if not text.strip():
        return {}
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error
    if not isinstance(values, dict):
        raise InvalidArgument("invalid JSON: the file must hold one object")
    unknown = sorted(key for key in values if key not in BY_KEY)
    if unknown:
        raise InvalidArgument(
            f"the following directives don't match any configuration option: {', '.join(unknown)}"
        )
    for key, value in values.items():
        kind = BY_KEY[key].kind
        shape_is_wrong = not isinstance(value, _SHAPES[kind])
        if shape_is_wrong or (isinstance(value, bool) and kind != BOOL):
            raise InvalidArgument(f"invalid value for {key}: {json.dumps(value)} (want {kind})")
    return values


def _refuse_conflicts(flags: Mapping[str, Any], from_file: Mapping[str, Any]) -> None:
    both = [
        f"{key}: (from flag: {shown(value)}, from file: {shown(from_file[key])})"
        for name, value in flags.items()
        if (key := BY_FLAG[name].key) in from_file and key
    ]
    if both:
        raise InvalidArgument(
            "the following directives are specified both as a flag and in the configuration file: "
            + ", ".join(both)
        )


def _build(values: Mapping[str, Any], path: Path) -> Config:
    if values.get("selinux-enabled"):
        raise InvalidArgument("selinux-enabled is not offered")
    if values.get("authorization-plugins"):
        raise InvalidArgument("authorization-plugins are not offered yet")
    driver = values.get("storage-driver", "") or "overlay2"
    if driver not in ("overlay", "overlay2", "native", "vfs"):
        raise InvalidArgument(f"error initializing graphdriver: unknown storage driver: {driver}")
    level = values.get("log-level", "info")
    if level not in _LEVELS:
        raise InvalidArgument(f"invalid logging level: {level}")
    log_format = values.get("log-format", "text")
    if log_format not in ("text", "json"):
        raise InvalidArgument(f"invalid log format: {log_format}")
    roots = Roots(
        _absolute(values.get("data-root", DEFAULT_DATA_ROOT)),
        _absolute(values.get("exec-root", DEFAULT_EXEC_ROOT)),
    )
    default_host = f"unix://{roots.exec}/tiffin.sock"
    pidfile = values.get("pidfile", "")
    debug = bool(values.get("debug", False))
    return Config(
        roots=roots,
        hosts=tuple(values.get("hosts") or [default_host]),
        pidfile=_absolute(pidfile) if pidfile else None,
        group=values.get("group", "docker"),
        group_required="group" in values,
        tls=_tls(values),
        debug=debug,
        log_level="debug" if debug else level,
        log_format=log_format,
        labels=_labels(values.get("labels", [])),
        storage_driver="native" if driver in ("native", "vfs") else "overlay2",
        bridge=bridge_defaults(values),
        registry=_registry(values),
        containers=_containers(values),
        file=path,
        trash_age_s=_age(values.get("trash-age", "24h")),
        trash_bytes=_size(values.get("trash-size", 0)),
        warnings=tuple(
            f"{what} has no effect here and is ignored"
            for what in (*filter(_is_ignored, values), *ignored_features(values))
        ),
    )


def _is_ignored(key: str) -> bool:
    option = BY_KEY.get(key)
    return option is not None and option.ignored


def _absolute(path: str | Path) -> Path:
    # Links stay as they are: the tag of a root is made from its name.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _tls(values: Mapping[str, Any]) -> TlsFiles | None:
    verify = bool(values.get("tlsverify", False))
    if not (verify or values.get("tls", False)):
        return None
    directory = Path(os.environ.get("DOCKER_CERT_PATH", "") or DEFAULT_TLS_DIRECTORY)
    return TlsFiles(
        verify=verify,
        ca=Path(values.get("tlscacert", directory / "ca.pem")),
        certificate=Path(values.get("tlscert", directory / "cert.pem")),
        key=Path(values.get("tlskey", directory / "key.pem")),
    )


def _labels(labels: list[str]) -> tuple[str, ...]:
    for label in labels:
        if not str(label).partition("=")[0] or "=" not in str(label):
            raise InvalidArgument(f"bad attribute format: {label}")
    return tuple(labels)


def _registry(values: Mapping[str, Any]) -> RegistryDefaults:
    counts = {}
    for key, default in (
        ("max-concurrent-downloads", 3),
        ("max-concurrent-uploads", 5),
        ("max-download-attempts", 5),
    ):
        counts[key] = values.get(key, default)
        if counts[key] < 1:
            raise InvalidArgument(f"invalid {key.replace('-', ' ')}: {counts[key]}")
    for mirror in values.get("registry-mirrors", []):
        if not re.fullmatch(r"https?://[^/?#@]+/?", str(mirror)):
            raise InvalidArgument(f'invalid mirror: "{mirror}" is not a URL of a host')
    return RegistryDefaults(
        mirrors=tuple(values.get("registry-mirrors", [])),
        insecure=tuple(values.get("insecure-registries", [])),
        rules=registry_rules(values.get("registries", {})),
        default=default_registry(values.get("default-registry", "")),
        downloads=counts["max-concurrent-downloads"],
        uploads=counts["max-concurrent-uploads"],
        attempts=counts["max-download-attempts"],
    )


def _containers(values: Mapping[str, Any]) -> ContainerDefaults:
    for address in values.get("dns", []):
        check_address("dns", address)
    ipc = values.get("default-ipc-mode", "private")
    if ipc not in ("private", "shareable"):
        raise InvalidArgument(f"IPC mode is not supported for containers by default: {ipc}")
    cgroupns = values.get("default-cgroupns-mode", "")
    if cgroupns not in ("", "private", "host"):
        raise InvalidArgument(f"default cgroup namespace mode ({cgroupns}) is invalid")
    default_runtime = values.get("default-runtime", "") or runtimes.OWN
    log_driver = values.get("log-driver", "") or "json-file"
    log_opts = {str(key): str(text) for key, text in values.get("log-opts", {}).items()}
    if log_opts:
        try:
            log_options.validate(log_driver, log_opts)
        except InvalidArgument as error:
            raise InvalidArgument(f"failed to set log opts: {error}") from error
    return ContainerDefaults(
        dns=tuple(values.get("dns", [])),
        dns_options=tuple(values.get("dns-opts", [])),
        dns_search=tuple(values.get("dns-search", [])),
        log_driver=log_driver,
        log_options=log_opts,
        ulimits=_ulimits(values.get("default-ulimits", {})),
        runtime=default_runtime,
        runtimes=runtimes.parse_runtimes(values.get("runtimes", {}), default_runtime),
        init=values.get("init", False),
        init_path=values.get("init-path", ""),
        shm_bytes=_size(values.get("default-shm-size", 64 << 20)),
        ipc_mode=ipc,
        cgroupns_mode=cgroupns,
        cgroup_parent=values.get("cgroup-parent", ""),
        userns_remap=str(values.get("userns-remap", "")),
        no_new_privileges=values.get("no-new-privileges", False),
        seccomp_profile=values.get("seccomp-profile", ""),
        cdi_directories=cdi_directories(values),
    )


def _ulimits(values: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    try:
        return {
            name: (int(entry["Soft"]), int(entry.get("Hard", entry["Soft"])))
            for name, entry in values.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidArgument(f"invalid default-ulimits: {shown(dict(values))}") from error


def _age(text: str) -> float:
    try:
        age_s = parse_duration(text) / 1e9
    except ValueError as error:
        raise InvalidArgument(f"invalid trash-age: {error}") from error
    if age_s < 0:
        raise InvalidArgument(f"invalid trash-age: {text} is negative")
    return age_s


def _size(value: str | int) -> int:
    match = _SIZE.fullmatch(str(value))
    if not match:
        raise InvalidArgument(f"invalid size: '{value}'")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))
