"""The OCI `mounts` list: the kernel's filesystems, files of /etc, volumes, binds and tmpfs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.mount_point import MountKind, MountPoint
from tiffin.engine.bundle.user_namespaces import bind_mappings
from tiffin.engine.bundle.users import Account
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMapping, IdMappings
from tiffin.spec.mount import Mount

JsonObject = dict[str, Any]

DEFAULT_SHM_SIZE = 64 * 1024 * 1024
_PRIVATE = ("private", "rprivate", "")


@dataclass(frozen=True, slots=True)
class EtcFiles:
    """Host paths of the files that the engine writes for a container."""

    hosts: Path
    hostname: Path
    resolv_conf: Path

    def targets(self) -> Mapping[str, Path]:
        """Return them by their path in the container."""
        return {
            "/etc/resolv.conf": self.resolv_conf,
            "/etc/hostname": self.hostname,
            "/etc/hosts": self.hosts,
        }


@dataclass(frozen=True, slots=True)
class ResolvedMount:
    """A mount point with the kernel mounts that serve it.

    `mounts` is what a volume driver or snapshotter gave; for binds and tmpfs it is empty.
    """

    point: MountPoint
    mounts: tuple[Mount, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose files the container's user sees: its account, the maps of its user namespace."""

    account: Account = field(default_factory=Account)
    ids: IdMappings = NO_MAPPINGS


def oci_mounts(
    host: HostConfig,
    resolved: Sequence[ResolvedMount],
    files: EtcFiles | None,
    owners: Owners | None = None,
    *,
    writable_cgroups: bool | None = None,
    shm: str = "",
) -> list[JsonObject]:
    """Return all mounts in the order in which they are to be performed.

    `shm` is a mount namespace whose /dev/shm is shared. OSError if a bind's source is missing.
    """
    owners = owners or Owners()
    taken = {item.point.target for item in resolved}
    kernel = [
        mount
        for mount in _kernel_mounts(host, shm, writable_cgroups=writable_cgroups)
        if mount["destination"] not in taken
    ]
    users = [mount for item in resolved for mount in _user_mounts(item, owners)]
    if files is not None:
        words = (*(("ro",) if host.readonly_rootfs else ()), *(("idmap",) if owners.ids else ()))
        users += [
            _bind(str(path), target, words)
            for target, path in files.targets().items()
            if target not in taken
        ]
    users.sort(key=lambda mount: mount["destination"].rstrip("/").count("/"))
    return kernel + users


def _kernel_mounts(
    host: HostConfig, shm: str, *, writable_cgroups: bool | None
) -> list[JsonObject]:
    read_only = () if host.privileged else ("ro",)
    cgroup_ro = (
        () if (host.privileged if writable_cgroups is None else writable_cgroups) else ("ro",)
    )
    mounts = [
        _mount("proc", "proc", "/proc", "nosuid", "noexec", "nodev"),
        _mount("tmpfs", "tmpfs", "/dev", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "devpts", "devpts", "/dev/pts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
            "mode=0620", "gid=5",
        ),
        _mount("sysfs", "sysfs", "/sys", "nosuid", "noexec", "nodev", *read_only),
        _mount("cgroup", "cgroup", "/sys/fs/cgroup", *cgroup_ro, "nosuid", "noexec", "nodev"),
        _mount("mqueue", "mqueue", "/dev/mqueue", "nosuid", "noexec", "nodev"),
    ]  # fmt: skip
    if host.ipc_mode == "host":
        mounts[-1] = _bind("/dev/mqueue", "/dev/mqueue") if _is_dir("/dev/mqueue") else mounts[-1]
        mounts.append(_bind("/dev/shm", "/dev/shm"))  # the mount, not a file in it
    elif shm:
        words = ("nosuid", "noexec", "nodev", f"x-mount-namespace={shm}")
        mounts.append(_bind("/dev/shm", "/dev/shm", words))
    elif host.ipc_mode != "none":
        size = host.shm_size or DEFAULT_SHM_SIZE
        mounts.append(
            _mount(
                "tmpfs", "shm", "/dev/shm", "nosuid", "noexec", "nodev", "mode=1777",
                f"size={size}",
            )
        )  # fmt: skip
    return mounts


def _is_dir(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  # no Path object needed for one stat


def _user_mounts(item: ResolvedMount, owners: Owners) -> list[JsonObject]:
    point = item.point
    if point.kind is MountKind.TMPFS:
        return [_mount("tmpfs", "tmpfs", point.target, *point.tmpfs_options)]
    if point.kind is MountKind.BIND:
        bind = _bind(point.source, point.target, _bind_options(point), rec=point.recursive,
                     propagation=point.propagation)  # fmt: skip
        return [bind if point.idmap is None else _idmapped_bind(bind, point.idmap, owners)]
    mounts = idmapped(item.mounts) if owners.ids else item.mounts
    return [_driver_mount(point, mount) for mount in mounts]


def _idmapped_bind(bind: JsonObject, word: str, owners: Owners) -> JsonObject:
    status = os.stat(bind["source"])
    maps = bind_mappings(word, (status.st_uid, status.st_gid), owners.account, owners.ids)
    bind["options"].append("idmap")
    return {
        **bind, "uidMappings": oci_mappings(maps.uids), "gidMappings": oci_mappings(maps.gids),
    }  # fmt: skip


def idmapped(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return mounts of our own files, which are stored with the container's ids, as it sees them.

    Not those of other file systems that a volume's driver names: their owners are as they are.
    """
    return tuple(
        replace(mount, options=(*mount.options, "idmap"))
        if mount.fstype in ("bind", "none", "overlay")
        else mount
        for mount in mounts
    )


def oci_mappings(mappings: Sequence[IdMapping]) -> list[JsonObject]:
    """Return OCI `uidMappings` or `gidMappings`."""
    return [
        {"containerID": item.container, "hostID": item.host, "size": item.size} for item in mappings
    ]


def _bind_options(point: MountPoint) -> tuple[str, ...]:
    if not point.read_only:
        return ()
    if point.recursive and point.read_only_recursive and point.propagation in _PRIVATE:
        return ("ro", "rro")
    return ("ro",)


def _driver_mount(point: MountPoint, mount: Mount) -> JsonObject:
    target = point.target + (f"/{mount.target.strip('/')}" if mount.target.strip("/") else "")
    options = [option for option in mount.options if option not in ("ro", "rw")]
    if point.read_only or "ro" in mount.options:
        options.append("ro")
    if mount.fstype in ("bind", "none") and not {"bind", "rbind"} & set(options):
        options.insert(0, "rbind")
    return _mount(
        "bind" if mount.fstype == "none" else mount.fstype, mount.source, target, *options
    )


def _bind(
    source: str,
    target: str,
    options: Sequence[str] = (),
    *,
    rec: bool = True,
    propagation: str = "rprivate",
) -> JsonObject:
    how = "rbind" if rec else "bind"
    return _mount("bind", source, target, how, propagation or "rprivate", *options)


def _mount(fstype: str, source: str, target: str, *options: str) -> JsonObject:
    return {"destination": target, "type": fstype, "source": source, "options": list(options)}


def rootfs_propagation(resolved: Sequence[ResolvedMount]) -> str:
    """Return OCI `linux.rootfsPropagation`, "" for the default.

    A shared or slave bind only works if the mounts above it propagate, too.
    """
    found = {item.point.propagation for item in resolved}
    if found & {"shared", "rshared"}:
        return "shared"
    return "slave" if found & {"slave", "rslave"} else ""
