"""Facts of the host that `info` and `version` tell."""

import os
import platform
import shlex
from dataclasses import dataclass
from pathlib import Path

from tiffin.linux.cgroups.layout import detect
from tiffin.linux.cgroups.support import Support, read_support


@dataclass(frozen=True, slots=True)
class Host:
    """What does not change while the daemon runs."""

    name: str
    kernel: str
    machine: str
    """As `uname -m` has it."""
    system: str
    """Name and version of the distribution."""
    system_version: str
    cpus: int
    memory_bytes: int
    support: Support
    """What the kernel can limit."""
    has_cgroupns: bool = True


def read_host() -> Host:
    """Ask the kernel and `/etc/os-release`."""
    release = _os_release()
    return Host(
        name=platform.node(),
        kernel=platform.release(),
        machine=platform.machine(),
        system=release.get("PRETTY_NAME", "Linux"),
        system_version=release.get("VERSION_ID", ""),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        support=read_support(detect()),
        has_cgroupns=Path("/proc/self/ns/cgroup").exists(),
    )


def ipv4_forwarding() -> bool:
    """Tell if the kernel forwards packets now."""
    try:
        return Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    except OSError:
        return False


def filesystem_of(path: Path) -> str:
    """Return the type of the file system that holds `path`, as Docker calls it; proc_mounts(5)."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            kind = after.split()[0]
            return "extfs" if kind in ("ext2", "ext3", "ext4") else kind
    return "unknown"


def _os_release() -> dict[str, str]:
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        try:
            text = path.read_text()
        except OSError:
            continue
        pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
        return {name: " ".join(shlex.split(value)) for name, _, value in pairs if name[:1] != "#"}
    return {}
