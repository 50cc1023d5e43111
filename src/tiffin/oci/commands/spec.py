"""`spec`: write a configuration to begin with."""

import json
import os
from pathlib import Path
from typing import Any

from tiffin.errors import AlreadyExists
from tiffin.linux.cgroups.layout import detect
from tiffin.oci.command import OCI_VERSION, Call
from tiffin.oci.flags import FLAG, Flag

WORDS = ""
FLAGS = (
    Flag("bundle", short="b", help="path to the root of the bundle directory"),
    Flag("rootless", FLAG, help="for a container of an ordinary user"),
)
_CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_PLAIN = ["nosuid", "noexec", "nodev"]


def run(call: Call) -> int:
    """Write it, unless there is one."""
    call.expect(0, 0)
    file = Path(call.parsed.text("bundle", ".")) / "config.json"
    if file.exists():
        raise AlreadyExists(f"File {file} exists. Remove it first")
    document = starter()
    if call.parsed.has("rootless"):
        _for_a_user(document, os.geteuid(), os.getegid())
    file.write_text(json.dumps(document, indent=4) + "\n")
    return 0


def starter() -> dict[str, Any]:
    """Return a configuration of a shell in `rootfs`."""
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: list(_CAPABILITIES)
                             for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance",
                   "ptmxmode=0666", "mode=0620", "gid=5"),
            _mount("/dev/shm", "tmpfs", "shm", *_PLAIN, "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", *_PLAIN),
            _mount("/sys", "sysfs", "sysfs", *_PLAIN, "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", *_PLAIN, "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in
                           ("pid", "network", "ipc", "uts", "mount", *_groups())],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
                            "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                            "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                              "/proc/sysrq-trigger"],
        },
    }  # fmt: skip


def _groups() -> tuple[str, ...]:
    # With v1, the mount of control groups shows the container's own alone without it.
    return ("cgroup",) if detect().version == 2 else ()


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": target, "type": kind, "source": source}
    return {**mount, "options": list(options)} if options else mount


def _for_a_user(document: dict[str, Any], uid: int, gid: int) -> None:
    linux = document["linux"]
    linux["namespaces"] = [item for item in linux["namespaces"] if item["type"] != "network"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    del linux["resources"]
    for mount in document["mounts"]:
        mount["options"] = [
            word for word in mount.get("options", []) if not word.startswith("gid=")
        ]
        if mount["destination"] == "/sys":
            mount.update({"type": "none", "source": "/sys", "options": ["rbind", *_PLAIN, "ro"]})
