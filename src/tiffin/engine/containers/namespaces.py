"""The namespaces of one run: those of other containers that it joins, and its user namespace."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tiffin.engine.bundle.namespaces import shared_with
from tiffin.engine.bundle.user_namespaces import check_conflicts, user_namespace_mode
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMapping, IdMappings, parse_map

_SHAREABLE = ("shareable", "host")


@dataclass(frozen=True, slots=True)
class Joined:
    """Paths of namespaces by OCI type, and the maps of the user namespace (empty for none)."""

    paths: Mapping[str, str] = field(default_factory=dict)
    ids: IdMappings = NO_MAPPINGS
    shm: str = ""
    """The mount namespace whose /dev/shm is shared, too; "" for none."""


def join_namespaces(context: Context, container: Container) -> Joined:
    """Return what a run joins; Conflict, InvalidArgument, NotFound in Docker's words."""
    host = container.spec.host
    paths: dict[str, str] = {}
    shm = ""
    for kind, proc_name, mode in (
        ("network", "net", host.network_mode),
        ("pid", "pid", host.pid_mode),
        ("ipc", "ipc", host.ipc_mode),
    ):
        other = shared_with(mode)
        if other:
            pid = _pid_of(context, container, other, kind)
            paths[kind] = f"/proc/{pid}/ns/{proc_name}"
            if kind == "ipc":
                shm = f"/proc/{pid}/ns/mnt"
    ids = user_ids(context, container)
    if ids:
        check_conflicts(host, is_remapped=True)
        if paths:
            return with_user_namespace(container.id, paths, shm)
    return Joined(paths, ids, shm)


def joined_by_others(joined: Joined, runtime: str) -> Joined:
    """Return what a runtime other than ours can join; FailedPrecondition."""
    if joined.ids:
        raise FailedPrecondition(
            f'runtime "{runtime}" cannot run containers in user namespaces here'
            " (hint: UsernsMode:host, or the runtime tiffin)"
        )
    return replace(joined, shm="")


def user_ids(context: Context, container: Container) -> IdMappings:
    """Return the maps of the container's own user namespace, empty if it is to have none."""
    mode = user_namespace_mode(container.spec.host)
    if mode.is_own:
        return container.spec.id_mappings
    return IdMappings() if mode.kind == "host" else context.settings.id_mappings


def running_ids(container: Container) -> IdMappings:
    """Return the maps of a running container as the kernel has them; empty for none. OSError."""
    maps = _maps_of(container.instance.pid)
    identity = (IdMapping(0, 0, 2**32 - 1),)
    return IdMappings() if maps.uids == identity else maps


def with_user_namespace(identifier: str, paths: Mapping[str, str], shm: str = "") -> Joined:
    """Join the donors' user namespace as well, which owns what is joined; Conflict, OSError."""
    own = os.stat("/proc/self/ns/user").st_ino
    pids = {path.split("/")[2] for path in paths.values()}
    spaces = {os.stat(f"/proc/{pid}/ns/user").st_ino: pid for pid in pids}
    if len(spaces) > 1:
        raise Conflict(
            f"container {identifier} cannot join containers of different user namespaces"
        )
    (inode, pid), *_ = spaces.items()
    if inode == own:
        raise Conflict(
            f"container {identifier} cannot share namespaces with a container that has no user"
            " namespace (hint: use UsernsMode:host)"
        )
    return Joined({**paths, "user": f"/proc/{pid}/ns/user"}, _maps_of(int(pid)), shm)


def _maps_of(pid: int) -> IdMappings:
    maps = []
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
            maps.append(parse_map(file.read()))
    return IdMappings(*maps)


_WHAT = {"network": "network", "pid": "PID", "ipc": "IPC"}


def _pid_of(context: Context, container: Container, reference: str, kind: str) -> int:
    try:
        other = context.registry.find(reference)
    except NotFound as error:
        if kind == "network":
            raise NotFound(f"joining network namespace of container: {error.message}") from error
        raise InvalidArgument(f"failed to join {_WHAT[kind]} namespace: {error.message}") from error
    if other is container:
        raise InvalidArgument(f"cannot join own {_WHAT[kind]} namespace")
    if kind == "network":
        _check_network(other)
        return other.instance.pid
    failed = f"failed to join {_WHAT[kind]} namespace: "
    if other.status is Status.RESTARTING:
        raise Conflict(
            f"{failed}Container {other.id} is restarting, wait until the container is running"
        )
    if not other.alive:
        # Two statuses, as with Docker, which meets the one earlier than the other.
        refused = FailedPrecondition if kind == "pid" else Conflict
        raise refused(f"{failed}container {other.id} is not running")
    mode = other.spec.host.ipc_mode
    if kind == "ipc" and not (mode in _SHAREABLE or shared_with(mode)):
        raise InvalidArgument(
            f"{failed}container {other.id}: non-shareable IPC"
            " (hint: use IpcMode:shareable for the donor container)"
        )
    return other.instance.pid


def _check_network(other: Container) -> None:
    if other.status is Status.RESTARTING:
        raise Conflict(
            "cannot join network namespace of container: "
            f"Container {other.id} is restarting, wait until the container is running"
        )
    if not other.alive:
        raise Conflict(
            "cannot join network namespace of a non running container: "
            f"container {other.name} is {other.status}"
        )
