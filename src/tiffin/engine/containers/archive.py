"""`docker cp` and `docker export`: archives out of a container and into it.

A running container is entered through /proc/<pid>/root, so its volumes and tmpfs are seen; one
that does not run is mounted where nobody else sees it. Either way every path is resolved by the
kernel inside that root.
"""

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from tiffin.api.types.containers import PathStat
from tiffin.engine.bundle.mount_point import MountKind, MountPoint
from tiffin.engine.bundle.mounts import ResolvedMount
from tiffin.engine.bundle.users import resolve_user
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.files import etc_files
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.namespaces import running_ids
from tiffin.engine.containers.rootfs import process_root, read_lines, stopped_view
from tiffin.engine.containers.times import rfc3339
from tiffin.errors import InvalidArgument, NotFound, PermissionDenied
from tiffin.fs.rooted import Root
from tiffin.layers import archive
from tiffin.layers.compression import Sink, Source
from tiffin.linux.user_namespace import file_owner
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings
from tiffin.spec.mount import Mount

_KERNEL_FILES = frozenset(
    {"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "debugfs", "tracefs", "securityfs",
     "bpf", "configfs", "efivarfs", "pstore", "fusectl"}
)  # fmt: skip
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}


class Archives:
    """The files of one container. All methods block.

    `mounts` are its resolved mount points, needed only while it does not run; `named` is what the
    client called it.
    """

    def __init__(
        self,
        context: Context,
        container: Container,
        mounts: Sequence[ResolvedMount] = (),
        *,
        named: str = "",
    ) -> None:
        self._context = context
        self._container = container
        self._named = named or container.name
        self._mounts = mounts

    def stat(self, path: str) -> PathStat:
        """Describe `path`; NotFound."""
        with self._root(path) as (root, inside, _), self._missing(path):
            name, follow = _split(path)
            _check_directory(root, inside, path)
            found = archive.stat_path(root, inside, follow=follow)
            return PathStat(
                name=name,
                size=found.size,
                mode=_go_mode(found.mode),
                mtime=rfc3339(found.mtime_ns),
                link_target=found.link_target,
            )

    def pack(self, path: str, sink: Sink) -> None:
        """Write a tar of `path`; NotFound."""
        with self._root(path) as (root, inside, ids), self._missing(path):
            name, follow = _split(path)
            _check_directory(root, inside, path)
            closed = _kernel_devices(self._container.instance.pid)
            archive.pack(root, inside, sink, name=name, follow=follow, ids=ids, closed=closed)

    def unpack(
        self, path: str, source: Source, *, keep_kind: bool = False, own: bool = False
    ) -> None:
        """Extract a tar into the directory `path`; with `own` everything is the container's user's.

        NotFound, InvalidArgument, PermissionDenied for what is mounted read-only.
        """
        with self._root(path) as (root, inside, ids), self._missing(path), _creating(ids):
            self._check_writable(root, inside, path)
            archive.unpack(
                root, inside, source,
                owner=self._owner() if own else None, ids=ids, no_overwrite_dir_non_dir=keep_kind,
            )  # fmt: skip

    def export(self, sink: Sink) -> None:
        """Write a tar of the root filesystem without what is mounted on it."""
        mounts = stopped_view(self._context.snapshotter.mounts(self._container.id))
        with Root(self._context.open_mounts(mounts)) as root:
            archive.pack(root, "", sink, name="")

    @contextmanager
    def _root(self, path: str) -> Iterator[tuple[Root, str, IdMappings]]:
        """Yield the root, `path` in it, and the maps of the user namespace that shows it."""
        if "\0" in path:
            raise InvalidArgument(f"invalid path: {path!r}")
        if self._container.alive:
            try:
                ids = running_ids(self._container)
                root = process_root(self._container.instance.pid)
            except OSError:
                root = None  # it has just ended
            if root is not None:
                with root:
                    yield root, path, ids
                return
        root, inside = self._stopped_root(path)
        with root:
            yield root, inside, NO_MAPPINGS  # as it is stored

    def _stopped_root(self, path: str) -> tuple[Root, str]:
        rootfs = self._context.snapshotter.mounts(self._container.id)
        extra = [mount for item in self._mounts for mount in _placed(item)]
        extra += self._etc_files(path)
        if not extra:
            return Root(self._context.open_mounts(rootfs)), path
        try:
            return Root(self._context.open_mounts([*rootfs, *extra])), path
        except OSError:
            # A mount point that was never made, or a kernel that cannot stack detached mounts:
            # the mount that holds the path is then looked into by itself.
            return self._nearest(rootfs, path)

    def _etc_files(self, path: str) -> list[Mount]:
        """Return the binds of the files of /etc that the daemon wrote, if `path` may show them."""
        clean = _clean(path)
        if clean not in ("/", "/etc") and not clean.startswith("/etc/"):
            return []
        files = etc_files(self._context.roots, self._container.id)
        covered = {item.point.target for item in self._mounts}
        return [
            Mount("bind", str(source), ("rbind",), f"etc/{name}")
            for name, source in (
                ("hosts", files.hosts),
                ("hostname", files.hostname),
                ("resolv.conf", files.resolv_conf),
            )
            if source.exists() and f"/etc/{name}" not in covered
        ]

    def _nearest(self, rootfs: Sequence[Mount], path: str) -> tuple[Root, str]:
        clean = _clean(path)
        holding = [
            item for item in self._mounts
            if clean == item.point.target or clean.startswith(item.point.target + "/")
        ]  # fmt: skip
        mounts = []
        if holding:
            nearest = max(holding, key=lambda item: len(item.point.target))
            mounts = [replace(mount, target="") for mount in _placed(nearest)[:1]]
            if mounts:
                return Root(self._context.open_mounts(mounts)), clean[
                    len(nearest.point.target) :
                ] or "/"
        return Root(self._context.open_mounts(rootfs)), path

    @contextmanager
    def _missing(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"Could not find the file {path} in container {self._named}") from error
        except PermissionError as error:
            raise PermissionDenied(f"{path}: {os.strerror(error.errno or 0).lower()}") from error
        except OSError as error:
            raise InvalidArgument(f"{path}: {os.strerror(error.errno or 0).lower()}") from error

    def _check_writable(self, root: Root, inside: str, path: str) -> None:
        resolved = "/" + root.resolve(inside)
        point = self._mount_of(resolved if inside == path else path)
        if point is not None and point.read_only:
            raise PermissionDenied("mounted volume is marked read-only")
        if point is None and self._container.spec.host.readonly_rootfs:
            raise PermissionDenied("container rootfs is marked read-only")

    def _mount_of(self, path: str) -> MountPoint | None:
        holding = [
            point for point in self._container.spec.mounts
            if path == point.target or path.startswith(point.target + "/")
        ]  # fmt: skip
        return max(holding, key=lambda point: len(point.target), default=None)

    def _owner(self) -> tuple[int, int] | None:
        user = self._container.spec.config.user
        if not user:
            return None
        rootfs = stopped_view(self._context.snapshotter.mounts(self._container.id))
        with Root(self._context.open_mounts(rootfs)) as root:
            account = resolve_user(user, (), lambda path: read_lines(root, path))
        return account.uid, account.gid


def _clean(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _kernel_devices(pid: int) -> frozenset[int]:
    """Return the devices of a process's mounts where files are the kernel's answers.

    They are no part of a copy, as with Docker: some cannot be read, some never end (proc(5)).
    """
    try:
        table = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace") if pid else ""
    except OSError:
        return frozenset()  # it has just ended
    found = set()
    for line in table.splitlines():
        fields, _, source = line.partition(" - ")
        if source.partition(" ")[0] in _KERNEL_FILES:
            major, _, minor = fields.split()[2].partition(":")
            found.add(os.makedev(int(major), int(minor)))
    return frozenset(found)


def _creating(ids: IdMappings) -> AbstractContextManager[None]:
    """Create files as the container's root: an idmapped mount knows no other."""
    return file_owner(*ids.root) if ids.root is not None else nullcontext()


def _placed(item: ResolvedMount) -> list[Mount]:
    """Return the mounts of a bind or volume with their place in the container."""
    point = item.point
    target = point.target.lstrip("/")
    extra = ("ro",) if point.read_only else ()
    if point.kind is MountKind.BIND:
        return [Mount("bind", point.source, ("rbind", *extra), target)]
    return [
        replace(
            mount,
            options=(*mount.options, *extra),
            target=f"{target}/{mount.target.strip('/')}".rstrip("/"),
        )
        for mount in item.mounts
    ]


def _check_directory(root: Root, inside: str, path: str) -> None:
    """Raise InvalidArgument if the path says that it is a directory and is none."""
    if path.endswith(("/", "/.")) and not stat.S_ISDIR(root.stat(inside, follow=True).st_mode):
        raise InvalidArgument(f"{path}: not a directory")


def _split(path: str) -> tuple[str, bool]:
    """Return the name that the archive gives `path`, and whether a symlink there is followed.

    As with cp(1), a trailing slash or dot means the directory behind the link.
    """
    if path.endswith("/.") or path == ".":
        return ".", True
    stripped = path.rstrip("/")
    name = stripped.rpartition("/")[2]
    return name or "/", path.endswith("/") or not name


def _go_mode(mode: int) -> int:
    """Return st_mode as Go's os.FileMode."""
    out = mode & 0o777 | _GO_KINDS.get(stat.S_IFMT(mode), 0)
    for bit, go_bit in ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20)):
        if mode & bit:
            out |= go_bit
    return out
