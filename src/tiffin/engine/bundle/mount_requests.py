"""The members of `HostConfig.Mounts` (`--mount`) and `HostConfig.Tmpfs`."""

import posixpath
from collections.abc import Sequence

from tiffin.api.types.mounts import MountRequest, TmpfsOptions
from tiffin.engine.bundle.mount_point import DEFAULT_PROPAGATION, MountKind, MountPoint
from tiffin.engine.bundle.mount_words import PROPAGATIONS, check_volume_name, clean_target
from tiffin.engine.bundle.user_namespaces import parse_idmap
from tiffin.errors import InvalidArgument

_TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_TMPFS_FLAGS = frozenset({
    "async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "lazytime",
    "loud", "mand", "noatime", "nodev", "nodiratime", "noexec", "nolazytime", "nomand",
    "norelatime", "nostrictatime", "nosuid", "noswap", "relatime", "ro", "rw", "silent",
    "strictatime", "suid", "sync", "private", "rprivate", "shared", "rshared", "slave", "rslave",
    "unbindable", "runbindable",
})  # fmt: skip
_TMPFS_VALUES = frozenset({
    "gid", "huge", "mode", "mpol", "nr_blocks", "nr_inodes", "size", "uid",
})  # fmt: skip


def parse_mount(request: MountRequest) -> MountPoint:
    """Check and resolve one entry; InvalidArgument in Docker's words."""
    try:
        if not request.target:
            raise _missing("Target")
        return _PARSERS[MountKind(request.type)](request, clean_target(request.target))
    except ValueError:
        problem = "mount type unknown"
    except InvalidArgument as error:
        problem = error.message
    raise InvalidArgument(f'invalid mount config for type "{request.type}": {problem}')


def _missing(field: str) -> InvalidArgument:
    return InvalidArgument(f"field {field} must not be empty")


def _refuse(request: MountRequest, *fields: str) -> None:
    present = {
        "Source": bool(request.source),
        "BindOptions": request.bind_options is not None,
        "VolumeOptions": request.volume_options is not None,
        "TmpfsOptions": request.tmpfs_options is not None,
        "ImageOptions": request.image_options is not None,
    }
    for field in fields:
        if present[field]:
            raise InvalidArgument(f"field {field} must not be specified")


def _bind(request: MountRequest, target: str) -> MountPoint:
    if not request.source:
        raise _missing("Source")
    _refuse(request, "VolumeOptions", "TmpfsOptions", "ImageOptions")
    if not request.source.startswith("/") or "\0" in request.source:
        raise InvalidArgument(f"invalid mount path: '{request.source}' mount path must be absolute")
    options = request.bind_options
    propagation = (options.propagation if options else "") or DEFAULT_PROPAGATION
    if propagation not in PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation mode: {propagation}")
    if options and options.id_map is not None:
        parse_idmap(options.id_map)
    if options and options.read_only_force_recursive:
        _check_forced(request, propagation)
    return MountPoint(
        MountKind.BIND,
        target,
        source=posixpath.normpath(request.source),
        read_only=request.read_only,
        propagation=propagation,
        recursive=not (options and options.non_recursive),
        read_only_recursive=not (options and options.read_only_non_recursive),
        read_only_forced=bool(options and options.read_only_force_recursive),
        create_source=bool(options and options.create_mountpoint),
        idmap=options.id_map if options else None,
    )


def _check_forced(request: MountRequest, propagation: str) -> None:
    options = request.bind_options
    if not request.read_only:
        raise InvalidArgument(
            "mount source must be read-only when ReadOnlyForceRecursive is specified"
        )
    if options and options.read_only_non_recursive:
        raise InvalidArgument(
            "mutually exclusive options: ReadOnlyNonRecursive and ReadOnlyForceRecursive"
        )
    if propagation not in ("private", "rprivate"):
        raise InvalidArgument("ReadOnlyForceRecursive requires a private propagation")


def _volume(request: MountRequest, target: str) -> MountPoint:
    _refuse(request, "BindOptions", "TmpfsOptions", "ImageOptions")
    options = request.volume_options
    subpath = options.subpath if options else ""
    if subpath and not request.source:
        raise InvalidArgument("must not set Subpath when using anonymous volumes")
    if subpath:
        _check_subpath(subpath)
    if request.read_only and not request.source:
        raise InvalidArgument("must not set ReadOnly mode when using anonymous volumes")
    if request.source:
        check_volume_name(request.source)
    driver = options.driver_config if options else None
    return MountPoint(
        MountKind.VOLUME,
        target,
        volume=request.source,
        driver=(driver.name if driver else "") or "local",
        driver_options=dict((driver.options if driver else None) or {}),
        labels=dict((options.labels if options else None) or {}),
        read_only=request.read_only,
        mode="z",
        copy_up=not (options and options.no_copy),
        subpath=subpath,
        anonymous=not request.source,
    )


def _check_subpath(subpath: str) -> None:
    clean = posixpath.normpath(subpath)
    if subpath.startswith("/") or clean == ".." or clean.startswith("../"):
        raise InvalidArgument("subpath must be a relative path within the volume")


def _tmpfs(request: MountRequest, target: str) -> MountPoint:
    _refuse(request, "Source", "BindOptions", "VolumeOptions", "ImageOptions")
    return MountPoint(
        MountKind.TMPFS,
        target,
        read_only=request.read_only,
        tmpfs_options=tuple(_tmpfs_options(request.tmpfs_options, request.read_only)),
    )


def _tmpfs_options(options: TmpfsOptions | None, read_only: bool) -> list[str]:
    words = [*_TMPFS_DEFAULTS, *(["ro"] if read_only else [])]
    if options is None:
        return words
    if options.mode:
        words.append(f"mode={options.mode:o}")
    if options.size_bytes < 0:
        raise InvalidArgument(f"invalid tmpfs size: {options.size_bytes}")
    if options.size_bytes:
        words.append(f"size={options.size_bytes}")
    for option in options.options or ():
        if not 1 <= len(option) <= 2:
            raise InvalidArgument("invalid option array length")
        if option[0] not in ("exec", "noexec") or len(option) == 2:
            raise InvalidArgument(f"invalid option: {option[0]}")
        words = [word for word in words if word not in ("exec", "noexec")] + [option[0]]
    return words


def _image(request: MountRequest, target: str) -> MountPoint:
    if not request.source:
        raise _missing("Source")
    _refuse(request, "BindOptions", "VolumeOptions", "TmpfsOptions")
    options = request.image_options
    if options and options.subpath:
        _check_subpath(options.subpath)
    return MountPoint(
        MountKind.IMAGE,
        target,
        source=request.source,
        read_only=True,
        propagation=DEFAULT_PROPAGATION,
        subpath=options.subpath if options else "",
    )


_PARSERS = {
    MountKind.BIND: _bind,
    MountKind.VOLUME: _volume,
    MountKind.TMPFS: _tmpfs,
    MountKind.IMAGE: _image,
}


def parse_tmpfs(target: str, options: str) -> MountPoint:
    """Resolve one `--tmpfs target:options`; the user's words override the defaults."""
    words = [word for word in options.split(",") if word]
    unknown = [word for word in words if not _is_tmpfs_word(word)]
    if unknown:
        shown = " ".join(f'"{word}"' for word in unknown)
        raise InvalidArgument(f"invalid tmpfs option [{shown}]")
    merged = _override_flags(_TMPFS_DEFAULTS, words)
    try:
        clean = clean_target(target)
    except InvalidArgument as error:
        raise InvalidArgument(f'invalid mount config for type "tmpfs": {error.message}') from error
    return MountPoint(
        MountKind.TMPFS, clean, read_only="ro" in words, mode=options, tmpfs_options=tuple(merged)
    )


def _is_tmpfs_word(word: str) -> bool:
    name, assigned, _ = word.partition("=")
    return name in _TMPFS_VALUES if assigned else name in _TMPFS_FLAGS


def _override_flags(defaults: Sequence[str], words: Sequence[str]) -> list[str]:
    opposite = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}
    dropped = {opposite[word] for word in words if word in opposite}
    kept = [word for word in defaults if word not in dropped and word not in words]
    return kept + list(words)
