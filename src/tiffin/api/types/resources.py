"""Limits on the wire: the part of HostConfig that `update` can change."""

from typing import ClassVar

import msgspec

from tiffin.api.codec import Wire


class WeightDevice(Wire, rename="pascal"):
    """The block I/O weight of one device."""

    path: str = ""
    weight: int = 0


class ThrottleDevice(Wire, rename="pascal"):
    """The block I/O rate of one device, bytes or operations per second."""

    path: str = ""
    rate: int = 0


class DeviceMapping(Wire):
    """A device of the host and its name in the container (`--device`)."""

    path_on_host: str = msgspec.field(default="", name="PathOnHost")
    path_in_container: str = msgspec.field(default="", name="PathInContainer")
    cgroup_permissions: str = msgspec.field(default="", name="CgroupPermissions")


class DeviceRequest(Wire):
    """A request for devices by capability (`--gpus`)."""

    driver: str = msgspec.field(default="", name="Driver")
    count: int = msgspec.field(default=0, name="Count")
    device_ids: list[str] | None = msgspec.field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = msgspec.field(default=None, name="Capabilities")
    options: dict[str, str] | None = msgspec.field(default=None, name="Options")


class Ulimit(Wire, rename="pascal"):
    """One resource limit; -1 means unlimited."""

    name: str = ""
    hard: int = 0
    soft: int = 0


class RestartPolicy(Wire, rename="pascal"):
    """When the engine starts a container again by itself."""

    name: str = ""
    maximum_retry_count: int = 0


class Resources(Wire, rename="pascal"):
    """Cgroup limits, devices and ulimits."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"KernelMemory", "KernelMemoryTCP", "Init"})
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceReadIOps"
    )
    blkio_device_write_iops: list[ThrottleDevice] | None = msgspec.field(
        default=None, name="BlkioDeviceWriteIOps"
    )
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequest] | None = None
    kernel_memory: int = 0
    kernel_memory_tcp: int = msgspec.field(default=0, name="KernelMemoryTCP")
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = msgspec.field(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = msgspec.field(default=0, name="IOMaximumBandwidth")


class UpdateRequest(Resources, rename="pascal"):
    """Body of `POST /containers/{id}/update`; what is zero or absent stays as it is."""

    restart_policy: RestartPolicy | None = None


class UpdateResponse(Wire, rename="pascal"):
    """Answer of `POST /containers/{id}/update`."""

    warnings: list[str] | None = None
