"""What the event of a reloaded configuration tells, with the attributes that Docker gives it."""

import json
import os

from tiffin.daemon.config import Config


def attributes(config: Config) -> dict[str, str]:
    """Return the settings that hold from now on."""
    registry, containers = config.registry, config.containers
    return {
        "name": os.uname().nodename,
        "debug": _bool(config.debug),
        "labels": json.dumps(config.labels),
        "registry-mirrors": json.dumps(registry.mirrors),
        "insecure-registries": json.dumps(registry.insecure),
        "max-concurrent-downloads": str(registry.downloads),
        "max-concurrent-uploads": str(registry.uploads),
        "max-download-attempts": str(registry.attempts),
        "default-runtime": containers.runtime,
        "runtimes": " ".join(sorted(containers.runtimes)),
        "default-shm-size": str(containers.shm_bytes),
        "default-ipc-mode": containers.ipc_mode,
        "default-cgroupns-mode": containers.cgroupns_mode or "private",
        "live-restore": _bool(True),
    }


def _bool(value: bool) -> str:
    return str(value).lower()
