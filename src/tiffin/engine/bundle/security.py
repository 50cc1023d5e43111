"""`--security-opt`, masked and read-only paths."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.user_namespaces import parse_mode
from tiffin.errors import InvalidArgument

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_FLAGS = frozenset({"no-new-privileges", "writable-cgroups"})
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


@dataclass(frozen=True, slots=True)
class SecurityOptions:
    """Parsed `--security-opt`; `seccomp` is as `bundle.seccomp.seccomp` takes it."""

    seccomp: str = ""
    apparmor: str = ""
    labels: tuple[str, ...] = ()
    no_new_privileges: bool = False
    writable_cgroups: bool | None = None
    """None for what `--privileged` says."""


def in_force(host: HostConfig, defaults: Sequence[str]) -> list[str]:
    """Return a container's options and the daemon's `defaults` that it does not override.

    The seccomp profile for privileged containers is none unless they name one.
    """
    own = list(host.security_opt or ())
    names = {_name(option) for option in own} | ({"seccomp"} if host.privileged else set())
    return own + [option for option in defaults if _name(option) not in names]


def _name(option: str) -> str:
    return re.split("[=:]", option, maxsplit=1)[0]


def parse_security_options(options: Sequence[str]) -> SecurityOptions:
    """Parse the list; InvalidArgument quotes the option that is not understood."""
    values: dict[str, str] = {}
    labels: list[str] = []
    flags: dict[str, bool] = {}
    for option in options:
        if option in _FLAGS:
            flags[option] = True
            continue
        if option == "disable":
            labels.append(option)
            continue
        key, value = _split(option)
        if key == "label":
            labels.append(value)
        elif key in ("seccomp", "apparmor"):
            values[key] = value
        elif key in _FLAGS and value in _TRUE | _FALSE:
            flags[key] = value in _TRUE
        elif key == "userns":
            parse_mode(value)
        else:
            raise InvalidArgument(f'invalid --security-opt 2: "{option}"')
    return SecurityOptions(
        seccomp=values.get("seccomp", ""),
        apparmor=values.get("apparmor", ""),
        labels=tuple(labels),
        no_new_privileges=flags.get("no-new-privileges", False),
        writable_cgroups=flags.get("writable-cgroups"),
    )


def _split(option: str) -> tuple[str, str]:
    for separator in ("=", ":"):
        key, found, value = option.partition(separator)
        if found:
            return key, value
    raise InvalidArgument(f'invalid --security-opt 1: "{option}"')


def masked_paths(host: HostConfig) -> list[str]:
    """Return the paths to hide; an explicit list, even an empty one, wins."""
    if host.masked_paths is not None:
        return host.masked_paths
    return [] if host.privileged else [*MASKED_PATHS, *_throttle_paths()]


@functools.cache
def _throttle_paths() -> tuple[str, ...]:
    """Return what tells of the processors' heat, which is a side channel (GHSA-6fw5-f8r9-fgfm)."""
    found = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle")
    return tuple(sorted(map(str, found)))


def readonly_paths(host: HostConfig) -> list[str]:
    """Return the paths to make read-only; an explicit list, even an empty one, wins."""
    if host.readonly_paths is not None:
        return host.readonly_paths
    return [] if host.privileged else list(READONLY_PATHS)
