"""Platforms: operating system, architecture, variant (OCI image-index, `platform`)."""

import platform as _host
import re
from dataclasses import dataclass, replace

from tiffin.errors import InvalidArgument

_MACHINES = {
    "x86_64": ("amd64", ""), "amd64": ("amd64", ""), "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""), "arm64": ("arm64", ""),
    "armv7l": ("arm", "v7"), "armhf": ("arm", "v7"),
    "armv6l": ("arm", "v6"), "armel": ("arm", "v6"),
    "i386": ("386", ""), "i686": ("386", ""), "386": ("386", ""),
    "ppc64le": ("ppc64le", ""), "s390x": ("s390x", ""), "riscv64": ("riscv64", ""),
    "arm": ("arm", "v7"), "loong64": ("loong64", ""), "mips64le": ("mips64le", ""),
}  # fmt: skip


_NEWER = {"arm": ("v8", "v7", "v6", "v5"), "amd64": ("v4", "v3", "v2", "v1")}
"""Variants that run what those after them were made for."""

_PLAIN = {"arm": "v7", "amd64": "v1", "arm64": "v8"}
"""What an architecture without a variant means."""

_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris"))


@dataclass(frozen=True, slots=True)
class Platform:
    """`os/architecture[/variant]`; version and features only matter to other systems than Linux."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def host_platform() -> Platform:
    """Return the platform of this machine."""
    architecture, variant = _MACHINES.get(_host.machine().lower(), (_host.machine().lower(), ""))
    return Platform("linux", architecture, variant)


def parse_platform(text: str) -> Platform:
    """Parse `linux/arm64/v8`, `linux/amd64`, `arm64` or `linux`; InvalidArgument otherwise."""
    parts = text.lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(re.fullmatch(r"[a-z0-9_.-]+", part) for part in parts):
        raise InvalidArgument(
            f"{text!r} is an invalid component of {text!r}: "
            "platform specifier component must match "
            '"^[A-Za-z0-9_.-]+(?:\\(([A-Za-z0-9_.-]*)\\))?$"'
        )
    if len(parts) == 1:
        if parts[0] in _SYSTEMS:
            return replace(host_platform(), os=parts[0])
        if parts[0] not in _MACHINES:
            raise InvalidArgument(f"{text!r}: unknown operating system or architecture")
        return Platform("linux", *_MACHINES[parts[0]])
    if len(parts) == 2 and parts[0] not in _SYSTEMS and parts[0] in _MACHINES:
        parts.insert(0, "linux")  # architecture and variant
    architecture, variant = _MACHINES.get(parts[1], (parts[1], ""))
    if len(parts) == 3:
        variant = f"v{parts[2]}" if parts[2].isdecimal() else parts[2]
    if architecture != "arm" and _PLAIN.get(architecture) == variant:
        variant = ""
    return Platform(parts[0], architecture, variant)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """Return how well `offered` serves `wanted`, 0 best; None if it does not.

    A machine runs what was made for lesser variants of its architecture, and for the architecture
    before it: arm64 runs arm, amd64 runs 386.
    """
    if wanted.os != offered.os:
        return None
    key = (offered.architecture, _variant(offered))
    try:
        return _served(wanted.architecture, _variant(wanted)).index(key)
    except ValueError:
        return None


def matches(wanted: Platform, offered: Platform) -> bool:
    """Tell whether `offered` can serve `wanted`; where it names no variant it may be any."""
    return rank(wanted, offered) is not None or (
        wanted.os == offered.os
        and wanted.architecture == offered.architecture
        and not offered.variant
    )


def _variant(platform: Platform) -> str:
    return platform.variant or _PLAIN.get(platform.architecture, "")


def _served(architecture: str, variant: str) -> list[tuple[str, str]]:
    order = _NEWER.get(architecture, ())
    lesser = order[order.index(variant) :] if variant in order else (variant,)
    served = [(architecture, each) for each in lesser]
    if architecture == "arm64":
        served += [("arm64", "v8")] if variant != "v8" else []
        served += [("arm", each) for each in _NEWER["arm"]]
    elif architecture == "amd64":
        served.append(("386", ""))
    return served
