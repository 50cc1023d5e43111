"""`features`: what the runtime knows of the specification (features.md, features-linux.md)."""

import json
from typing import Any

from tiffin import __version__
from tiffin.linux import mount_options
from tiffin.linux.capabilities import BITS
from tiffin.linux.namespaces import KINDS
from tiffin.oci.command import OCI_VERSION, Call
from tiffin.oci.flags import Flag

WORDS = ""
FLAGS: tuple[Flag, ...] = ()
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def run(call: Call) -> int:
    """Print it."""
    call.expect(0, 0)
    print(json.dumps(features(), indent=4))  # noqa: T201
    return 0


def features() -> dict[str, Any]:
    """Return the document."""
    from tiffin.linux import seccomp  # tables of some size
    from tiffin.runtime.plan import FILTER_FLAGS

    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(HOOKS),
        "mountOptions": sorted(mount_options.WORDS),
        "linux": {
            "namespaces": sorted(KINDS),
            "capabilities": sorted(BITS),
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False,
                       "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": sorted(FILTER_FLAGS),
                "supportedFlags": sorted(FILTER_FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": False},
        },
        "annotations": {"org.tiffin.version": __version__},
        "potentiallyUnsafeConfigAnnotations": ["org.tiffin.rootfs"],
    }  # fmt: skip
