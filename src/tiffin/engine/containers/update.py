"""Change limits and the restart policy of an existing container."""

from dataclasses import replace

import msgspec

from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.resources import Resources, UpdateRequest, UpdateResponse
from tiffin.engine.bundle.limits import check_resources
from tiffin.engine.bundle.resources import resources
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.host_settings import check_restart_policy
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, InvalidArgument

_FIELDS = (
    "cpu_shares", "memory", "nano_cpus", "blkio_weight", "cpu_period", "cpu_quota",
    "cpu_realtime_period", "cpu_realtime_runtime", "cpuset_cpus", "cpuset_mems",
    "memory_reservation", "memory_swap", "pids_limit", "blkio_device_read_bps",
    "blkio_device_write_bps", "blkio_device_read_iops", "blkio_device_write_iops",
)  # fmt: skip
"""What can change; what is zero, empty or absent in the request stays as it is."""


async def update(context: Context, container: Container, request: UpdateRequest) -> UpdateResponse:
    """Apply the request, to the live container too; nothing changes if that fails."""
    if container.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(
            f"Cannot update container {container.id}: Container is marked for removal and cannot"
            ' be "update".'
        )
    async with container.lock:
        old = container.spec.host
        host = merge(old, request)
        warnings = check_resources(host, update=True)
        if request.restart_policy is not None and request.restart_policy.name:
            check_restart_policy(request.restart_policy, auto_remove=host.auto_remove)
            host.restart_policy = request.restart_policy
        if container.handle is not None and container.alive:
            await container.handle.update(resources(host))
        container.spec = replace(container.spec, host=host)
        await context.store.saved(container)
    context.publish(container, "update")
    return UpdateResponse(warnings=warnings or None)


def merge(host: HostConfig, request: Resources) -> HostConfig:
    """Return HostConfig with what the request names; InvalidArgument for contradictions."""
    given = {name: value for name in _FIELDS if (value := getattr(request, name))}
    if given.get("nano_cpus") and (host.cpu_period or host.cpu_quota):
        raise InvalidArgument(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period/Quota has already"
            " been set"
        )
    if (given.get("cpu_period") or given.get("cpu_quota")) and host.nano_cpus:
        raise InvalidArgument(
            "Conflicting options: CPU Period/Quota cannot be updated as NanoCPUs has already"
            " been set"
        )
    memory, swap = given.get("memory", 0), given.get("memory_swap", 0)
    if memory and not swap and 0 < host.memory_swap < memory:
        raise InvalidArgument(
            "Memory limit should be smaller than already set memoryswap limit, update the"
            " memoryswap at the same time"
        )
    return msgspec.structs.replace(host, **given)
