"""Change limits and the restart policy of an existing container."""

import logging
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
from tiffin.engine.tasks.contract import TaskHandle
from tiffin.errors import Conflict, InvalidArgument, TiffinError

log = logging.getLogger(__name__)

_FIELDS = (
    "cpu_shares", "memory", "nano_cpus", "blkio_weight", "blkio_weight_device", "cpu_period",
    "cpu_quota", "cpu_realtime_period", "cpu_realtime_runtime", "cpuset_cpus", "cpuset_mems",
    "memory_reservation", "memory_swap", "pids_limit", "blkio_device_read_bps",
    "blkio_device_write_bps", "blkio_device_read_iops", "blkio_device_write_iops",
)  # fmt: skip
"""What can change; what is zero, empty or absent in the request stays as it is."""
_TOGETHER = (("memory", "memory_swap"), ("cpu_period", "cpu_quota"))
"""What the kernel must be told of together: v2 has one file, or counts otherwise."""


async def update(context: Context, container: Container, request: UpdateRequest) -> UpdateResponse:
    """Apply the request, to the live container too; nothing changes if that fails.

    InvalidArgument for what cannot be meant; Conflict for what does not go with what is set.
    """
    if request.pids_limit is not None and request.pids_limit <= 0:
        request.pids_limit = -1  # both spell "unlimited" here
    warnings = check_resources(request, context.support, update=True)
    wants_policy = request.restart_policy is not None and bool(request.restart_policy.name)
    if request.restart_policy is not None:
        check_restart_policy(request.restart_policy)
    async with container.lock:
        if container.status in (Status.REMOVING, Status.DEAD):
            raise _refused(container, 'container is marked for removal and cannot be "update"')
        old = container.spec.host
        try:
            host = merge(old, request)
        except Conflict as error:
            raise _refused(container, str(error)) from error
        if request.restart_policy is not None and wants_policy:
            if host.auto_remove and request.restart_policy.name != "no":
                raise _refused(
                    container,
                    "Restart policy cannot be updated because AutoRemove is enabled for the"
                    " container",
                )
            host.restart_policy = request.restart_policy
        changes = changed(host, request)
        if container.handle is not None and container.alive and resources(changes):
            await _apply(container, container.handle, changes, changed(old, request))
        container.spec = replace(container.spec, host=host)
        await context.store.saved(container)
    context.publish(container, "update")
    return UpdateResponse(warnings=warnings or None)


async def _apply(
    container: Container, handle: TaskHandle, changes: Resources, former: Resources
) -> None:
    try:
        await handle.update(resources(changes))
    except TiffinError as error:
        try:
            await handle.update(resources(former))
        except TiffinError as second:
            log.warning("restoring the limits of container %s: %s", container.id, second)
        raise type(error)(f"Cannot update container {container.id}: {error}") from error


def _refused(container: Container, reason: str) -> Conflict:
    return Conflict(f"Cannot update container {container.id}: {reason}")


def _given(request: Resources) -> dict[str, object]:
    return {name: value for name in _FIELDS if (value := getattr(request, name))}


def merge(host: HostConfig, request: Resources) -> HostConfig:
    """Return HostConfig with what the request names.

    Conflict for what contradicts what is set already, InvalidArgument for a swap limit below the
    memory limit.
    """
    _check_cpu(host, request)
    if request.memory and not request.memory_swap and request.memory > host.memory_swap:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the"
            " memoryswap at the same time"
        )
    merged = msgspec.structs.replace(host, **_given(request))
    if merged.pids_limit is not None:
        merged.pids_limit = max(0, merged.pids_limit)
    if 0 < merged.memory_swap < merged.memory:
        raise InvalidArgument(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    return merged


def _check_cpu(host: HostConfig, request: Resources) -> None:
    """Refuse `--cpus` where its parts are set, and the other way round."""
    contradictions = (
        (request.nano_cpus, host.cpu_period, "Nano CPUs", "CPU Period has"),
        (request.nano_cpus, host.cpu_quota, "Nano CPUs", "CPU Quota has"),
        (request.cpu_period, host.nano_cpus, "CPU Period", "NanoCPUs has"),
        (request.cpu_quota, host.nano_cpus, "CPU Quota", "NanoCPUs has"),
    )
    for wanted, present, what, other in contradictions:
        if wanted > 0 and present > 0:
            raise Conflict(
                f"Conflicting options: {what} cannot be updated as {other} already been set"
            )


def changed(host: HostConfig, request: Resources) -> Resources:
    """Return the limits of `host` that the request names, for the kernel.

    What has to be told together is complete.
    """
    names = set(_given(request))
    for group in _TOGETHER:
        if names.intersection(group):
            names.update(group)
    values = {name: getattr(host, name) for name in names}
    if "pids_limit" in values and not values["pids_limit"]:
        values["pids_limit"] = -1
    return Resources(**values)
