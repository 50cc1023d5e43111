"""HostConfig: what a container may use of the host, as clients send it and inspect shows it."""

from typing import ClassVar

import msgspec

from tiffin.api.codec import Wire
from tiffin.api.types.mounts import MountRequest
from tiffin.api.types.networks import PortMap
from tiffin.api.types.resources import Resources, RestartPolicy


class LogConfig(Wire, rename="pascal"):
    """The log driver and its options."""

    type: str = ""
    config: dict[str, str] | None = None


class HostConfig(Resources, rename="pascal"):
    """All of HostConfig.

    A list that the client left out stays None and is shown as `null`, an empty one as `[]`, as
    Docker does.
    """

    omit_empty: ClassVar[frozenset[str]] = Resources.omit_empty | {
        "Annotations", "Mounts", "StorageOpt", "Tmpfs", "Sysctls"
    }  # fmt: skip
    base_after: ClassVar[str] = "Isolation"
    binds: list[str] | None = None
    container_id_file: str = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = msgspec.field(default_factory=LogConfig)
    network_mode: str = ""
    port_bindings: PortMap | None = None
    restart_policy: RestartPolicy = msgspec.field(default_factory=RestartPolicy)
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    annotations: dict[str, str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = msgspec.field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | None = None
    runtime: str = ""
    isolation: str = ""
    mounts: list[MountRequest] | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None
