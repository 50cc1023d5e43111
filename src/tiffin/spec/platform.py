"""Platforms: operating system, architecture, variant (OCI image-index, `platform`)."""

import platform as _host
import re
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Platform:
    """`os/architecture[/variant]`."""

    os: str
    architecture: str
    variant: str = ""

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
    host = host_platform()
    if len(parts) == 1:
        if parts[0] == "linux":
            return host
        if parts[0] not in _MACHINES:
            raise InvalidArgument(f"{text!r}: unknown operating system or architecture")
        return Platform("linux", *_MACHINES[parts[0]])
    architecture, variant = _MACHINES.get(parts[1], (parts[1], ""))
    if len(parts) == 3:
        variant = parts[2]
    if architecture == "arm64" and variant == "v8":
        variant = ""
    return Platform(parts[0], architecture, variant)


def matches(wanted: Platform, offered: Platform) -> bool:
    """Tell whether `offered` can serve `wanted`; an absent variant matches any."""
    return (
        wanted.os == offered.os
        and wanted.architecture == offered.architecture
        and (not wanted.variant or not offered.variant or wanted.variant == offered.variant)
    )
