"""Wire types of the daemon itself: version, info, events, disk usage."""

from typing import Any, ClassVar

from msgspec import field

from tiffin.api.codec import Wire


class Platform(Wire):
    """Name of the product."""

    name: str = field(name="Name", default="")


class Component(Wire):
    """One part of the engine and its version."""

    name: str = field(name="Name")
    version: str = field(name="Version")
    details: dict[str, str] = field(name="Details", default_factory=dict)


class SystemVersion(Wire):
    """`GET /version`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"KernelVersion", "Experimental", "BuildTime"})

    platform: Platform = field(name="Platform")
    components: list[Component] = field(name="Components")
    version: str = field(name="Version")
    api_version: str = field(name="ApiVersion")
    min_api_version: str = field(name="MinAPIVersion")
    git_commit: str = field(name="GitCommit", default="")
    go_version: str = field(name="GoVersion", default="")
    os: str = field(name="Os", default="linux")
    arch: str = field(name="Arch", default="")
    kernel_version: str = field(name="KernelVersion", default="")
    experimental: bool = field(name="Experimental", default=False)
    build_time: str = field(name="BuildTime", default="")


class Plugins(Wire):
    """Drivers that can be named, by seam."""

    volume: list[str] = field(name="Volume", default_factory=list)
    network: list[str] = field(name="Network", default_factory=list)
    authorization: list[str] | None = field(name="Authorization", default=None)
    log: list[str] = field(name="Log", default_factory=list)


class IndexInfo(Wire):
    """How one registry is spoken to."""

    name: str = field(name="Name")
    mirrors: list[str] = field(name="Mirrors", default_factory=list)
    secure: bool = field(name="Secure", default=True)
    official: bool = field(name="Official", default=False)


class RegistryServiceConfig(Wire):
    """Registries that are treated specially."""

    insecure_registry_cidrs: list[str] = field(name="InsecureRegistryCIDRs", default_factory=list)
    index_configs: dict[str, IndexInfo] = field(name="IndexConfigs", default_factory=dict)
    mirrors: list[str] = field(name="Mirrors", default_factory=list)


class RuntimeInfo(Wire):
    """A runtime that `--runtime` takes."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"runtimeArgs", "status"})

    path: str = field(name="path", default="")
    arguments: list[str] = field(name="runtimeArgs", default_factory=list)
    status: dict[str, str] = field(name="status", default_factory=dict)


class SwarmInfo(Wire):
    """Membership of a swarm: none."""

    node_id: str = field(name="NodeID", default="")
    node_address: str = field(name="NodeAddr", default="")
    local_node_state: str = field(name="LocalNodeState", default="inactive")
    control_available: bool = field(name="ControlAvailable", default=False)
    error: str = field(name="Error", default="")
    remote_managers: list[Any] | None = field(name="RemoteManagers", default=None)


class Commit(Wire):
    """Version of an external tool; empty for what the engine does itself."""

    id: str = field(name="ID", default="")


class AddressPool(Wire):
    """Where new networks get their subnets from."""

    base: str = field(name="Base")
    size: int = field(name="Size")


class FirewallInfo(Wire):
    """How packets are filtered."""

    driver: str = field(name="Driver")


class DeviceInfo(Wire):
    """A device that a driver found, by its full name."""

    source: str = field(name="Source")
    id: str = field(name="ID")


class SystemInfo(Wire):
    """`GET /info`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"DefaultAddressPools", "DiscoveredDevices", "HttpProxy", "HttpsProxy", "NoProxy"}
    )

    id: str = field(name="ID")
    containers: int = field(name="Containers")
    containers_running: int = field(name="ContainersRunning")
    containers_paused: int = field(name="ContainersPaused")
    containers_stopped: int = field(name="ContainersStopped")
    images: int = field(name="Images")
    driver: str = field(name="Driver")
    driver_status: list[tuple[str, str]] = field(name="DriverStatus")
    docker_root_dir: str = field(name="DockerRootDir")
    plugins: Plugins = field(name="Plugins")
    memory_limit: bool = field(name="MemoryLimit")
    swap_limit: bool = field(name="SwapLimit")
    cpu_cfs_period: bool = field(name="CpuCfsPeriod")
    cpu_cfs_quota: bool = field(name="CpuCfsQuota")
    cpu_shares: bool = field(name="CPUShares")
    cpu_set: bool = field(name="CPUSet")
    pids_limit: bool = field(name="PidsLimit")
    ipv4_forwarding: bool = field(name="IPv4Forwarding")
    debug: bool = field(name="Debug")
    fds: int = field(name="NFd")
    oom_kill_disable: bool = field(name="OomKillDisable")
    goroutines: int = field(name="NGoroutines")
    system_time: str = field(name="SystemTime")
    logging_driver: str = field(name="LoggingDriver")
    cgroup_version: str = field(name="CgroupVersion")
    event_listeners: int = field(name="NEventsListener")
    kernel_version: str = field(name="KernelVersion")
    operating_system: str = field(name="OperatingSystem")
    os_version: str = field(name="OSVersion")
    architecture: str = field(name="Architecture")
    cpus: int = field(name="NCPU")
    memory_bytes: int = field(name="MemTotal")
    registry_config: RegistryServiceConfig = field(name="RegistryConfig")
    name: str = field(name="Name")
    labels: list[str] = field(name="Labels")
    server_version: str = field(name="ServerVersion")
    runtimes: dict[str, RuntimeInfo] = field(name="Runtimes")
    default_runtime: str = field(name="DefaultRuntime")
    security_options: list[str] = field(name="SecurityOptions")
    default_address_pools: list[AddressPool] = field(name="DefaultAddressPools")
    firewall_backend: FirewallInfo = field(name="FirewallBackend")
    warnings: list[str] = field(name="Warnings")
    http_proxy: str = field(name="HttpProxy", default="")
    https_proxy: str = field(name="HttpsProxy", default="")
    no_proxy: str = field(name="NoProxy", default="")
    cgroup_driver: str = field(name="CgroupDriver", default="cgroupfs")
    os_type: str = field(name="OSType", default="linux")
    index_server: str = field(name="IndexServerAddress", default="https://index.docker.io/v1/")
    generic_resources: list[Any] | None = field(name="GenericResources", default=None)
    experimental: bool = field(name="ExperimentalBuild", default=False)
    swarm: SwarmInfo = field(name="Swarm", default_factory=SwarmInfo)
    live_restore: bool = field(name="LiveRestoreEnabled", default=True)
    isolation: str = field(name="Isolation", default="")
    init_binary: str = field(name="InitBinary", default="")
    containerd_commit: Commit = field(name="ContainerdCommit", default_factory=Commit)
    runc_commit: Commit = field(name="RuncCommit", default_factory=Commit)
    init_commit: Commit = field(name="InitCommit", default_factory=Commit)
    cdi_spec_dirs: list[str] = field(name="CDISpecDirs", default_factory=list)
    discovered_devices: list[DeviceInfo] = field(name="DiscoveredDevices", default_factory=list)
    product_license: str = field(name="ProductLicense", default="")


class Actor(Wire):
    """What an event is about."""

    id: str = field(name="ID")
    attributes: dict[str, str] = field(name="Attributes", default_factory=dict)


class EventMessage(Wire):
    """One line of `GET /events`; the first three members are what old clients read."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"status", "id", "from"})

    status: str = field(name="status", default="")
    id: str = field(name="id", default="")
    origin: str = field(name="from", default="")
    kind: str = field(name="Type", default="")
    action: str = field(name="Action", default="")
    actor: Actor = field(name="Actor", default_factory=lambda: Actor(id=""))
    scope: str = field(name="scope", default="local")
    time: int = field(name="time", default=0)
    time_ns: int = field(name="timeNano", default=0)


class DiskUsage(Wire):
    """`GET /system/df`; null for what was not asked for. Items are the nouns' own list entries."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"BuilderSize", "Disk"})

    layers_size: int = field(name="LayersSize", default=0)
    images: list[Any] | None = field(name="Images", default=None)
    containers: list[Any] | None = field(name="Containers", default=None)
    volumes: list[Any] | None = field(name="Volumes", default=None)
    build_cache: list[Any] | None = field(name="BuildCache", default=None)
    disk: dict[str, int] = field(name="Disk", default_factory=dict)
    """Bytes on disk by heading, which add up to the data root's: an extension (`disk=1`)."""
