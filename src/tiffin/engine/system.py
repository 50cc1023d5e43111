"""The daemon about itself: version, info, events, disk usage."""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiffin import __version__
from tiffin.api.filters import Filters
from tiffin.api.types.system import (
    AddressPool,
    Component,
    DeviceInfo,
    DiskUsage,
    FirewallInfo,
    IndexInfo,
    Platform,
    Plugins,
    RegistryServiceConfig,
    RuntimeInfo,
    SystemInfo,
    SystemVersion,
)
from tiffin.api.version import MAXIMUM, MINIMUM
from tiffin.engine.bundle.labels import has_apparmor
from tiffin.engine.event_filter import accepts
from tiffin.engine.events import Events, Subscription
from tiffin.engine.host import Host, ipv4_forwarding
from tiffin.engine.roots import Roots
from tiffin.errors import InvalidArgument
from tiffin.linux.cgroups.support import Support
from tiffin.spec.times import format_time

DISK_USAGE_TYPES = ("container", "image", "volume", "build-cache")
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many containers there are, by state."""

    running: int = 0
    paused: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """What the daemon was configured with, as far as `info` tells it."""

    id: str
    roots: Roots
    storage_driver: str
    storage_status: Sequence[tuple[str, str]] = ()
    debug: bool = False
    labels: Sequence[str] = ()
    log_driver: str = "json-file"
    log_drivers: Sequence[str] = ()
    network_drivers: Sequence[str] = ()
    volume_drivers: Sequence[str] = ("local",)
    runtimes: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Path and arguments by name."""
    default_runtime: str = "tiffin"
    mirrors: Sequence[str] = ()
    insecure_registries: Sequence[str] = ()
    address_pools: Sequence[tuple[str, int]] = ()
    warnings: Sequence[str] = ()
    no_new_privileges: bool = False
    userns: bool = False
    """Containers run in user namespaces unless they say otherwise."""
    seccomp_profile: str = ""
    cdi_directories: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Nouns:
    """What the other services tell about themselves; each usage is a list of wire values."""

    containers: Callable[[], Counts]
    images: Callable[[], Awaitable[int]]
    layers_size: Callable[[], Awaitable[int]]
    usage: Mapping[str, Callable[[], Awaitable[list[Any]]]] = field(default_factory=dict)
    """By the words of `DISK_USAGE_TYPES`."""
    disk: Callable[[], Awaitable[dict[str, int]]] | None = None
    """Measures the data root, by heading."""


class System:
    """Answers for the daemon."""

    def __init__(self, settings: SystemSettings, host: Host, events: Events, nouns: Nouns) -> None:
        self.settings = settings
        """Replaced when the configuration is reloaded."""
        self._host = host
        self._events = events
        self._nouns = nouns

    def version(self) -> SystemVersion:
        """Describe what runs here."""
        architecture = _GO_ARCHITECTURES.get(self._host.machine, self._host.machine)
        python = f"python{platform.python_version()}"
        shared = {
            "ApiVersion": str(MAXIMUM),
            "Arch": architecture,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": python,
            "KernelVersion": self._host.kernel,
            "MinAPIVersion": str(MINIMUM),
            "Os": "linux",
        }
        return SystemVersion(
            platform=Platform(name="Tiffin Engine"),
            components=[Component(name="Engine", version=__version__, details=shared)],
            version=__version__,
            api_version=str(MAXIMUM),
            min_api_version=str(MINIMUM),
            go_version=python,
            arch=architecture,
            kernel_version=self._host.kernel,
        )

    async def info(self) -> SystemInfo:
        """Describe the daemon, its host and what it holds."""
        host, settings, counts = self._host, self.settings, self._nouns.containers()
        warnings = [*_missing(host.support), *settings.warnings]
        devices, problems = await asyncio.to_thread(_discover, settings.cdi_directories)
        if settings.seccomp_profile not in ("", "builtin"):
            warnings.append("WARNING: daemon is not using the default seccomp profile")
        if not ipv4_forwarding():
            warnings.append("WARNING: IPv4 forwarding is disabled")
        return SystemInfo(
            id=settings.id,
            containers=counts.running + counts.paused + counts.stopped,
            containers_running=counts.running,
            containers_paused=counts.paused,
            containers_stopped=counts.stopped,
            images=await self._nouns.images(),
            driver=settings.storage_driver,
            driver_status=list(settings.storage_status),
            docker_root_dir=str(settings.roots.data),
            plugins=Plugins(
                volume=list(settings.volume_drivers),
                network=list(settings.network_drivers),
                log=list(settings.log_drivers),
            ),
            memory_limit=host.support.memory,
            swap_limit=host.support.swap,
            cpu_cfs_period=host.support.cpu_quota,
            cpu_cfs_quota=host.support.cpu_quota,
            cpu_shares=host.support.cpu_shares,
            cpu_set=host.support.cpuset,
            pids_limit=host.support.pids,
            ipv4_forwarding=ipv4_forwarding(),
            debug=settings.debug,
            fds=len(os.listdir("/proc/self/fd")) - 1,
            oom_kill_disable=host.support.oom_kill_disable,
            goroutines=len(asyncio.all_tasks()),
            system_time=format_time(time.time_ns()),
            logging_driver=settings.log_driver,
            cgroup_version=str(host.support.version),
            event_listeners=self._events.listeners,
            kernel_version=host.kernel,
            operating_system=host.system,
            os_version=host.system_version,
            architecture=host.machine,
            cpus=host.cpus,
            memory_bytes=host.memory_bytes,
            registry_config=_registries(settings),
            name=host.name,
            labels=list(settings.labels),
            server_version=__version__,
            runtimes={
                name: RuntimeInfo(path=path, arguments=list(arguments))
                for name, (path, arguments) in settings.runtimes.items()
            },
            default_runtime=settings.default_runtime,
            security_options=_security(host, settings),
            default_address_pools=[AddressPool(base=b, size=s) for b, s in settings.address_pools],
            firewall_backend=FirewallInfo(driver="nftables"),
            cdi_spec_dirs=list(settings.cdi_directories),
            discovered_devices=devices,
            warnings=[*warnings, *problems],
            http_proxy=_proxy("HTTP_PROXY"),
            https_proxy=_proxy("HTTPS_PROXY"),
            no_proxy=os.environ.get("NO_PROXY", "") or os.environ.get("no_proxy", ""),
        )

    def events(
        self, filters: Filters, *, since_ns: int | None = None, until_ns: int | None = None
    ) -> Subscription:
        """Listen to what happens; InvalidArgument for filters that do not exist."""
        if since_ns is not None and until_ns is not None and until_ns < since_ns:
            raise InvalidArgument(
                f"`since` time ({_seconds(since_ns)}) cannot be after"
                f" `until` time ({_seconds(until_ns)})"
            )
        if since_ns is None and until_ns is not None:
            # Docker tells the past to whoever names an end.
            since_ns = 0
        return self._events.subscribe(
            since_ns=since_ns, until_ns=until_ns, accepts=lambda event: accepts(event, filters)
        )

    async def disk_usage(
        self, types: Collection[str] = (), *, whole_disk: bool = False
    ) -> DiskUsage:
        """Measure what takes room; only `types` if any are given. InvalidArgument."""
        for kind in types:
            if kind not in DISK_USAGE_TYPES:
                raise InvalidArgument(f"unknown object type: {kind}")
        found = {
            kind: await measure()
            for kind, measure in self._nouns.usage.items()
            if not types or kind in types
        }
        wants_images = not types or "image" in types
        return DiskUsage(
            layers_size=await self._nouns.layers_size() if wants_images else 0,
            images=found.get("image"),
            containers=found.get("container"),
            volumes=found.get("volume"),
            build_cache=found.get("build-cache"),
            disk=await self._nouns.disk() if whole_disk and self._nouns.disk else {},
        )


def _seconds(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 10**9)
    return f"{seconds}.{rest:09d}"


def _missing(support: Support) -> list[str]:
    """Return a warning for each limit that the kernel lacks, where a user could mend that."""
    unified = support.version == 2
    throttles = (
        (support.read_bps, "read_bps", "rbps"),
        (support.write_bps, "write_bps", "wbps"),
        (support.read_iops, "read_iops", "riops"),
        (support.write_iops, "write_iops", "wiops"),
    )
    offers = [
        (support.memory, "memory limit"),
        (support.swap, "swap limit"),
        (support.oom_kill_disable or unified, "oom kill disable"),
        (support.cpu_quota, "cpu cfs quota"),
        (support.cpu_quota, "cpu cfs period"),
        (support.cpu_shares, "cpu shares"),
        (support.cpuset, "cpuset"),
        # Since Linux 5.0 there is none in v1.
        (support.io_weight or not unified, "io.weight"),
        (support.io_weight_device or not unified, "io.weight (per device)"),
        *(
            (has, f"io.max ({v2})" if unified else f"blkio throttle.{v1}_device")
            for has, v1, v2 in throttles
        ),
    ]
    return [f"WARNING: No {name} support" for has, name in offers if not has]


def _discover(directories: Sequence[str]) -> tuple[list[DeviceInfo], list[str]]:
    """Return the devices that vendors describe, and a warning for each bad description."""
    present = [directory for directory in directories if os.path.isdir(directory)]  # noqa: PTH112
    if not present:
        return [], []
    from tiffin.engine.cdi.catalogue import discover  # few machines have such devices

    found = discover(present)
    devices = [DeviceInfo(source="cdi", id=name) for name in sorted(found.devices)]
    return devices, [f"CDI: {error}" for error in found.errors]


def _registries(settings: SystemSettings) -> RegistryServiceConfig:
    insecure = settings.insecure_registries
    hosts = [name for name in insecure if "/" not in name]
    indexes = {name: IndexInfo(name=name, secure=False) for name in hosts}
    mirrors = [mirror.rstrip("/") + "/" for mirror in settings.mirrors]
    indexes["docker.io"] = IndexInfo(name="docker.io", mirrors=mirrors, official=True)
    ranges = [name for name in insecure if "/" in name]
    return RegistryServiceConfig(
        insecure_registry_cidrs=[*ranges, "::1/128", "127.0.0.0/8"],
        index_configs=indexes,
        mirrors=mirrors,
    )


def _security(host: Host, settings: SystemSettings) -> list[str]:
    profile = settings.seccomp_profile or "builtin"
    options = ["name=apparmor"] if has_apparmor() else []
    options.append(f"name=seccomp,profile={profile}")
    if settings.userns:
        options.append("name=userns")
    if host.has_cgroupns:
        options.append("name=cgroupns")
    if settings.no_new_privileges:
        options.append("name=no-new-privileges")
    return options


def _proxy(name: str) -> str:
    value = os.environ.get(name, "") or os.environ.get(name.lower(), "")
    scheme, separator, rest = value.partition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{separator}xxxxx:xxxxx@{host}" if at and credentials else value
