"""Which namespaces a container gets, shares or leaves with the host; its cgroup's path."""

from collections.abc import Mapping
from typing import Any

from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.user_namespaces import user_namespace_mode
from tiffin.errors import InvalidArgument

JsonObject = dict[str, Any]

_CONTAINER = "container:"


def shared_with(mode: str) -> str:
    """Return the container of a `container:<name or id>` mode, "" for any other mode."""
    return mode.removeprefix(_CONTAINER) if mode.startswith(_CONTAINER) else ""


def check_modes(host: HostConfig) -> None:
    """Raise InvalidArgument for a namespace mode that does not exist."""
    _check("PID mode", host.pid_mode, ("", "host"), container=True)
    _check("IPC mode", host.ipc_mode, ("", "host", "none", "private", "shareable"), container=True)
    _check("UTS mode", host.uts_mode, ("", "host"))
    user_namespace_mode(host)
    _check("cgroup namespace mode", host.cgroupns_mode, ("", "host", "private"))
    if host.network_mode in ("container", _CONTAINER):
        raise InvalidArgument("invalid network mode: invalid container format container:<name|id>")


def _check(what: str, mode: str, known: tuple[str, ...], *, container: bool = False) -> None:
    if mode in known or (container and shared_with(mode)):
        return
    raise InvalidArgument(f"invalid {what}: {mode}")


def namespaces(
    host: HostConfig, joined: Mapping[str, str], *, is_remapped: bool = False
) -> list[JsonObject]:
    """Return OCI `linux.namespaces`; `joined` has the paths of those shared with a container.

    Its keys are OCI types (`network`, `pid`, `ipc`, `user`). Absent types stay the host's.
    """
    modes = {
        "mount": "",
        "network": host.network_mode,
        "pid": host.pid_mode,
        "ipc": host.ipc_mode,
        "uts": host.uts_mode,
        "cgroup": host.cgroupns_mode,
    }
    out = []
    for kind, mode in modes.items():
        if kind in joined:
            out.append({"type": kind, "path": joined[kind]})
        elif mode != "host":
            out.append({"type": kind})
    if "user" in joined:
        out.append({"type": "user", "path": joined["user"]})
    elif is_remapped:
        out.append({"type": "user"})
    return out


def cgroups_path(container_id: str, tag: str, parent: str) -> str:
    """Return `/<parent>/<id>`; the default parent is the daemon's tag."""
    return f"/{(parent or tag).strip('/')}/{container_id}"


def check_cgroup_parent(parent: str) -> None:
    """Raise InvalidArgument for a parent that leads out of the hierarchy."""
    if ".." in parent.split("/") or not parent.isprintable():
        raise InvalidArgument(f"invalid cgroup parent: {parent}")
