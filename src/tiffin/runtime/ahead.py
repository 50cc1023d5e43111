"""What a spare child does while nobody waits: it makes what nearly all containers mount, and rehearses.

A forked process copies each page that it writes to, and Python writes to the pages of whatever it
looks at. Reading an example's configuration, planning it and doing some of it has that done beforehand.
"""

import json
from pathlib import Path
from typing import Any

from tiffin.linux import mounts
from tiffin.runtime.config import Config, parse
from tiffin.runtime.device_operations import MakeDevice, MakeSymlink
from tiffin.runtime.hiding_operations import MakeReadonly, MaskPath
from tiffin.runtime.operation import MadeMounts, Place, made_key
from tiffin.runtime.plan import Plan
from tiffin.spec.mount import Mount

_PLAIN = ("nosuid", "noexec", "nodev")
USUAL = (
    Mount("proc", "proc", _PLAIN, "/proc"),
    Mount("tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"), "/dev"),
    Mount(
        "devpts", "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"), "/dev/pts",
    ),
    Mount("sysfs", "sysfs", (*_PLAIN, "ro"), "/sys"),
    Mount("mqueue", "mqueue", _PLAIN, "/dev/mqueue"),
    Mount("tmpfs", "shm", (*_PLAIN, "mode=1777", f"size={64 << 20}"), "/dev/shm"),
)  # fmt: skip
"""As the engine asks for them; what differs by a word is made when it is needed."""

OURS = (
    Mount("tmpfs", "tmpfs", ("mode=755",)),
    Mount("tmpfs", "tmpfs", ("ro", "nr_blocks=1", "nr_inodes=1")),
    Mount("tmpfs", "tmpfs", ("ro", "nr_blocks=1", "nr_inodes=1")),
)
"""What the runtime itself mounts: below the control groups, over what is masked."""


def make_mounts() -> MadeMounts:
    """Make them in the caller's namespaces, attached nowhere; OSError."""
    made: MadeMounts = {}
    for item in (*USUAL, *OURS):
        made.setdefault(made_key(item), []).append(mounts.create(item))
    return made


def example() -> Config:
    """Return the configuration of a container that does not exist, read as any is."""
    return parse(json.loads(json.dumps(document())), Path("/"))


def rehearse(plan: Plan) -> None:
    """Do those steps of the example that can be done in an empty directory, and forget them."""
    place = Place(_ignore)
    place.set_root(mounts.create(Mount("tmpfs", "tmpfs")))
    steps = (MakeDevice, MakeSymlink, MakeReadonly, MaskPath)
    for step in (*plan.build, *plan.pivot):
        if isinstance(step, steps):
            step.execute(place)
    place.close()
    mounts.can_append_layers()
    mounts.split_lowerdir("/a:/b")


def _ignore(_: str) -> None:
    return


def document() -> dict[str, Any]:
    """Return the example's config.json."""
    capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_AUDIT_WRITE"]
    layers = ["index=off", "lowerdir=/a", "upperdir=/b", "workdir=/c"]
    rootfs = [{"fstype": "overlay", "source": "overlay", "options": layers, "target": ""}]
    files = [
        {"destination": f"/etc/{name}", "type": "bind", "source": f"/{name}", "options": ["rbind"]}
        for name in ("hosts", "hostname", "resolv.conf")
    ]
    usual = [
        {"destination": m.target, "type": m.fstype, "source": m.source, "options": list(m.options)}
        for m in USUAL
    ]
    groups = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["ro", *_PLAIN]}  # fmt: skip
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "example",
        "annotations": {"org.tiffin.rootfs": json.dumps(rootfs)},
        "process": {
            "args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "oomScoreAdj": 0,
            "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
        },
        "mounts": [*usual, groups, *files],
        "linux": {
            "cgroupsPath": "/example/example",
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [
                {"type": kind} for kind in ("mount", "pid", "uts", "ipc", "network", "cgroup")
            ],
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    }  # fmt: skip
