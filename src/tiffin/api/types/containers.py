"""Containers on the wire: configuration, creation, inspect, list and the small answers."""

from typing import Any, ClassVar

import msgspec

from tiffin.api.codec import Wire
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.mounts import MountPoint
from tiffin.api.types.networks import EndpointSettings, NetworkingConfig, NetworkSettings


class HealthConfig(Wire, rename="pascal"):
    """A health check; durations in nanoseconds, 0 meaning the default."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"}
    )
    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class Config(Wire, rename="pascal"):
    """The portable part of a container's configuration; also an image's defaults."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress",
         "StopSignal", "StopTimeout", "Shell"}
    )  # fmt: skip
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | str | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | str | None = None
    network_disabled: bool = False
    mac_address: str = ""
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None


class CreateRequest(Config, rename="pascal"):
    """Body of `POST /containers/create`."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


class CreateResponse(Wire, rename="pascal"):
    """Answer of `POST /containers/create`."""

    id: str = ""
    warnings: list[str] = msgspec.field(default_factory=list)


class HealthResult(Wire, rename="pascal"):
    """One run of a health check; times are RFC 3339."""

    start: str = ""
    end: str = ""
    exit_code: int = 0
    output: str = ""


class Health(Wire, rename="pascal"):
    """The health of a container and its last five checks."""

    status: str = ""
    failing_streak: int = 0
    log: list[HealthResult] = msgspec.field(default_factory=list)


class State(Wire, rename="pascal"):
    """The state of a container as inspect shows it."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Health"})
    status: str = ""
    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    dead: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = ""
    finished_at: str = ""
    health: Health | None = None


class GraphDriver(Wire, rename="pascal"):
    """Where the root filesystem lives."""

    data: dict[str, str] | None = None
    name: str = ""


class ContainerInspect(Wire, rename="pascal"):
    """Answer of `GET /containers/{id}/json`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"SizeRw", "SizeRootFs"})
    id: str = ""
    created: str = ""
    path: str = ""
    args: list[str] = msgspec.field(default_factory=list)
    state: State = msgspec.field(default_factory=State)
    image: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    log_path: str = ""
    name: str = ""
    restart_count: int = 0
    driver: str = ""
    platform: str = ""
    mount_label: str = ""
    process_label: str = ""
    app_armor_profile: str = ""
    exec_ids: list[str] | None = msgspec.field(default=None, name="ExecIDs")
    host_config: HostConfig = msgspec.field(default_factory=HostConfig)
    graph_driver: GraphDriver = msgspec.field(default_factory=GraphDriver)
    size_rw: int | None = None
    size_root_fs: int | None = None
    mounts: list[MountPoint] = msgspec.field(default_factory=list)
    config: Config = msgspec.field(default_factory=Config)
    network_settings: NetworkSettings = msgspec.field(default_factory=NetworkSettings)


class WaitError(Wire, rename="pascal"):
    """Why waiting failed."""

    message: str = ""


class WaitResponse(Wire, rename="pascal"):
    """Answer of `POST /containers/{id}/wait`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Error"})
    status_code: int = 0
    error: WaitError | None = None


class TopResponse(Wire, rename="pascal"):
    """Answer of `GET /containers/{id}/top`."""

    processes: list[list[str]] = msgspec.field(default_factory=list)
    titles: list[str] = msgspec.field(default_factory=list)


class ChangeItem(Wire, rename="pascal"):
    """One changed path: kind 0 modified, 1 added, 2 deleted."""

    path: str = ""
    kind: int = 0


class PruneResponse(Wire, rename="pascal"):
    """Answer of `POST /containers/prune`."""

    containers_deleted: list[str] | None = None
    space_reclaimed: int = 0


class PathStat(Wire):
    """A file's facts in the header `X-Docker-Container-Path-Stat`; `mode` is Go's FileMode."""

    name: str = ""
    size: int = 0
    mode: int = 0
    mtime: str = ""
    link_target: str = msgspec.field(default="", name="linkTarget")


__all__ = [
    "ChangeItem", "Config", "ContainerInspect", "CreateRequest", "CreateResponse",
    "EndpointSettings", "GraphDriver", "Health", "HealthConfig", "HealthResult", "PathStat",
    "PruneResponse", "State", "TopResponse", "WaitError", "WaitResponse",
]  # fmt: skip
