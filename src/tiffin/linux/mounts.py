"""Performs mounts given as values, with the descriptor-based mount API.

A filesystem is first made as a *detached* mount (it exists nowhere in the tree and vanishes when
its descriptor is closed), gets its attributes, and is attached last. So there is no moment at which
a mount is visible with the wrong flags, and no path is looked up twice.
"""

import errno
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack

from tiffin.linux import mount_options
from tiffin.linux.mount_api import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    MNT_DETACH,
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_IDMAP,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    MS_PRIVATE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    fsconfig,
    fsmount,
    fsopen,
    mount,
    mount_setattr,
    move_mount,
    open_tree,
    umount2,
)
from tiffin.linux.mount_options import MountOptions
from tiffin.linux.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2
from tiffin.spec.mount import Mount

_LONGEST_PARAMETER = 255  # fsconfig(2) takes strings of up to 255 bytes
SUBPATH = "x-subpath"
"""`x-subpath=a/b` among the options of a bind: that path in its source, which it never leaves.

Whoever may write there can replace directories by symlinks at any moment, so it is the kernel that
resolves the path when the mount is made.
"""
_DIRECTORIES = {"lowerdir", "upperdir", "workdir"}


def perform(mounts: Sequence[Mount], target: str) -> None:
    """Mount the list at the directory (or file) `target`, in order.

    Targets inside the list are resolved within `target`, never through a symlink out of it. If one
    fails, those before it are unmounted again; OSError names the source or target.
    """
    with ExitStack() as descriptors, ExitStack() as undo:
        root = -1
        for item in mounts:
            if root < 0:
                # Looked up again after each mount at the root: later ones lie on top of it.
                root = os.open(target, os.O_PATH | os.O_CLOEXEC)
                descriptors.callback(os.close, root)
            fd = create(item)
            descriptors.callback(os.close, fd)
            attach_in(fd, root, item.target)
            undo.callback(umount2, f"/proc/self/fd/{fd}", MNT_DETACH)
            if not item.target.strip("/"):
                root = -1
        undo.pop_all()


def detached(mounts: Sequence[Mount], owners: int = -1) -> int:
    """Return an O_PATH descriptor of the mounted list, which is attached nowhere.

    Everything is private and vanishes when the descriptor (and what was opened through it) is
    closed. More than one mount needs a kernel that mounts onto detached trees (6.15). `owners` is
    as in `create`.
    """
    with ExitStack() as undo:
        root = -1
        for item in mounts:
            fd = create(item, owners)
            undo.callback(os.close, fd)
            mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, propagation=MS_PRIVATE)
            if root < 0:
                root = fd
            else:
                attach_in(fd, root, item.target)
        if root < 0:
            raise ValueError("no mounts")
        return os.dup(root)


def create(item: Mount, owners: int = -1) -> int:
    """Return a descriptor of one mount that is attached nowhere, with its attributes set.

    With `idmap` or `ridmap` among its options, `owners` is a descriptor of the user namespace whose
    maps turn the owners that are stored into those that are shown (`linux/idmapped.py`).
    """
    options = mount_options.parse(item.options)
    is_bind = options.bind or item.fstype == "bind"
    if options.idmap and owners < 0:
        raise OSError(errno.EINVAL, "idmap without a mapping of ids", item.source)
    if is_bind:
        fd = _bind(item.source, dict(options.parameters).get(SUBPATH), recursive=options.recursive)
    elif options.idmap and item.fstype == "overlay":
        from tiffin.linux import idmapped  # for user namespaces only

        fd = idmapped.overlay(item, options, owners)
    else:
        fd = _filesystem(item, options)
    try:
        if options.idmap and (is_bind or item.fstype != "overlay"):
            map_owners(fd, item.source, owners, recursive=options.idmap_tree)
        set_attributes(fd, options)
    except OSError:
        os.close(fd)
        raise
    return fd


def map_owners(fd: int, name: str, owners: int, *, recursive: bool = False) -> None:
    """Have the detached mount `fd` show the owners that the user namespace `owners` maps to."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    try:
        mount_setattr(fd, "", flags, set_=MOUNT_ATTR_IDMAP, userns_fd=owners)
    except OSError as error:
        text = error.strerror
        if error.errno == errno.EINVAL:
            text = "its file system does not support idmapped mounts"
        raise OSError(error.errno, text, name) from None


def set_attributes(fd: int, options: MountOptions) -> None:
    """Give the mount `fd` the attributes and propagation of `options`."""
    if options.tree_set or options.tree_clear:
        _setattr(fd, options.tree_set, options.tree_clear, AT_RECURSIVE)
    if options.set_ or options.clear:
        _setattr(fd, options.set_, options.clear)
    for kind, recursive in options.propagation:
        flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
        mount_setattr(fd, "", flags, propagation=kind)


def attach(fd: int, target_fd: int, name: str) -> None:
    """Attach the detached mount `fd` at the place `target_fd`; `name` is for the error."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    move_mount(fd, "", target_fd, "", flags, name)


def attach_in(fd: int, root_fd: int, target: str) -> None:
    """Attach `fd` at `target` as seen with `root_fd` as the root directory."""
    if not target.strip("/"):
        attach(fd, root_fd, target or "/")
        return
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    place = openat2(root_fd, target, os.O_PATH, resolve=resolve)
    try:
        attach(fd, place, target)
    finally:
        os.close(place)


def _setattr(fd: int, set_: int, clear: int, flags: int = 0) -> None:
    if set_ & MOUNT_ATTR__ATIME:
        clear |= MOUNT_ATTR__ATIME
    mount_setattr(fd, "", AT_EMPTY_PATH | flags, set_=set_, clear=clear)


def _bind(source: str, subpath: str | None = None, *, recursive: bool) -> int:
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    if not subpath:
        return open_tree(AT_FDCWD, source, flags)
    root = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        place = openat2(root, subpath, os.O_PATH | os.O_CLOEXEC, resolve=resolve)
    finally:
        os.close(root)
    try:
        return open_tree(place, "", flags | AT_EMPTY_PATH)
    finally:
        os.close(place)


def _filesystem(item: Mount, options: MountOptions) -> int:
    if item.fstype == "overlay" and not can_append_layers():
        return _classic_overlay(options)
    with ExitStack() as scope:
        context = fsopen(item.fstype)
        scope.callback(os.close, context)
        if item.source:
            fsconfig(context, FSCONFIG_SET_STRING, "source", item.source)
        try:
            for key, value in options.parameters:
                _configure(context, item.fstype, key, value, scope)
            fsconfig(context, FSCONFIG_CMD_CREATE)
        except OSError as error:
            raise _located(error, item) from None
        return fsmount(context)


def _configure(context: int, fstype: str, key: str, value: str | None, scope: ExitStack) -> None:
    if value is None:
        fsconfig(context, FSCONFIG_SET_FLAG, key)
    elif fstype == "overlay" and key == "lowerdir":
        for layer in split_lowerdir(value):
            fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", _plain(layer, scope))
    elif fstype == "overlay" and key in _DIRECTORIES:
        fsconfig(context, FSCONFIG_SET_STRING, key, _plain(value, scope))
    else:
        fsconfig(context, FSCONFIG_SET_STRING, key, value)


def split_lowerdir(value: str) -> list[str]:
    r"""Split overlayfs' `lowerdir` at colons, upper layer first; `\:` and `\\` are escapes."""
    parts = re.findall(r"(?:[^:\\]|\\.)+", value, re.DOTALL)
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts]


def _plain(directory: str, scope: ExitStack) -> str:
    # Kernels differ in how they take escapes in these parameters; a descriptor needs none.
    if len(os.fsencode(directory)) <= _LONGEST_PARAMETER and not set(directory) & set("\\:,"):
        return directory
    return _numbered(directory, scope)


def can_append_layers() -> bool:
    """Tell whether overlayfs takes layers one by one (`lowerdir+`, Linux 6.8).

    Before, they must all fit into one parameter of 255 bytes, or into the page of mount(2).
    """
    return kernel_release() >= (6, 8)


def kernel_release() -> tuple[int, int]:
    """Return the running kernel's version, (0, 0) if it does not say."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(release[1]), int(release[2])) if release is not None else (0, 0)


def _classic_overlay(options: MountOptions) -> int:
    """Mount by mount(2) at a temporary place, and take it from there as a detached copy."""
    import tempfile  # half a megabyte of modules, for old kernels only

    with ExitStack() as scope:
        words = []
        for key, value in options.parameters:
            if key == "lowerdir" and value:
                # Descriptors keep the whole string below the page that mount(2) takes.
                value = ":".join(_numbered(layer, scope) for layer in split_lowerdir(value))
            elif key in _DIRECTORIES and value:
                value = _numbered(value, scope)
            words.append(key if value is None else f"{key}={value}")
        place = tempfile.mkdtemp(prefix="tiffin-overlay-")
        scope.callback(os.rmdir, place)
        mount("overlay", place, "overlay", 0, ",".join(words))
        scope.callback(umount2, place, MNT_DETACH)
        return _bind(place, recursive=False)


def _numbered(directory: str, scope: ExitStack) -> str:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    scope.callback(os.close, fd)
    return f"/proc/self/fd/{fd}"


def _located(error: OSError, item: Mount) -> OSError:
    return OSError(error.errno, error.strerror, f"{item.fstype} {item.source}".strip())
