"""The words of `-v src:dst:mode` and `--tmpfs dst:options`, and `--volumes-from name:mode`."""

import posixpath
import re

from tiffin.engine.bundle.mount_point import DEFAULT_PROPAGATION, MountKind, MountPoint
from tiffin.engine.bundle.user_namespaces import parse_idmap
from tiffin.errors import InvalidArgument

PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_MODE_KINDS = (
    frozenset({"ro", "rw"}), frozenset({"z", "Z"}), PROPAGATIONS, frozenset({"nocopy"}),
    frozenset({"consistent", "cached", "delegated", "default"}), frozenset({"idmap"}),
)  # fmt: skip
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def check_volume_name(name: str) -> None:
    """Raise InvalidArgument unless `name` can name a volume."""
    if not _VOLUME_NAME.fullmatch(name):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def is_mode(text: str) -> bool:
    """Tell whether `text` is a comma-separated list of modes, at most one of each kind."""
    if not text:
        return True
    seen: list[int] = []
    for word in text.split(","):
        name = "idmap" if word.startswith("idmap=") else word
        kinds = [i for i, words in enumerate(_MODE_KINDS) if name in words]
        if not kinds:
            return False
        seen += kinds
    return len(seen) == len(set(seen))


def clean_target(target: str) -> str:
    """Return the normalised mount target; InvalidArgument if it is relative or the root."""
    if not target.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{target}' mount path must be absolute")
    clean = "/" + posixpath.normpath(target).lstrip("/")
    if clean == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    return clean


def parse_bind(text: str, volume_driver: str = "") -> MountPoint:
    """Parse one entry of `HostConfig.Binds`; InvalidArgument quotes it."""
    source, target, mode = _split_bind(text)
    if "\0" in text:
        raise InvalidArgument(f"invalid volume specification: {text!r}")
    if not is_mode(mode):
        raise InvalidArgument(f"invalid mode: {mode}")
    kind = MountKind.BIND if source.startswith("/") else MountKind.VOLUME
    words = mode.split(",")
    propagation = next((word for word in words if word in PROPAGATIONS), "")
    try:
        clean = clean_target(target)
        idmap = _idmap(words)
        if kind is MountKind.VOLUME and idmap is not None:
            raise InvalidArgument("idmap is for binds; volumes have the container's ids anyway")
        if kind is MountKind.VOLUME and propagation:
            raise InvalidArgument("field BindOptions must not be specified")
        if kind is MountKind.BIND and "nocopy" in words:
            raise InvalidArgument("field VolumeOptions must not be specified")
    except InvalidArgument as error:
        raise InvalidArgument(
            f"invalid volume specification: '{text}': "
            f'invalid mount config for type "{kind}": {error.message}'
        ) from error
    if kind is MountKind.BIND:
        return MountPoint(
            kind, clean, source=posixpath.normpath(source), mode=mode, create_source=True,
            read_only="ro" in words, propagation=propagation or DEFAULT_PROPAGATION, idmap=idmap,
        )  # fmt: skip
    if source:
        check_volume_name(source)
    return MountPoint(
        kind, clean, volume=source, driver=volume_driver or "local", mode=mode or "z",
        read_only="ro" in words, copy_up="nocopy" not in words, anonymous=not source,
    )  # fmt: skip


def _idmap(words: list[str]) -> str | None:
    """Return what follows `idmap`, "" for nothing; None without the word. InvalidArgument."""
    found = next((word for word in words if word.partition("=")[0] == "idmap"), None)
    if found is None:
        return None
    value = found.partition("=")[2]
    parse_idmap(value)
    return value


def _split_bind(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    broken = InvalidArgument(f"invalid volume specification: '{text}'")
    if not parts[0] or len(parts) > 3:
        raise broken
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        if is_mode(parts[1]):
            raise broken
        return parts[0], parts[1], ""
    return parts[0], parts[1], parts[2]


def parse_volumes_from(text: str) -> tuple[str, str]:
    """Return container and mode (`rw` by default) of one `--volumes-from`."""
    if not text:
        raise InvalidArgument("volumes-from specification cannot be an empty string")
    container, _, mode = text.partition(":")
    words = set(mode.split(","))
    if not is_mode(mode) or words & PROPAGATIONS or "nocopy" in words:
        raise InvalidArgument(f"invalid mode: {mode}")
    return container, mode or "rw"
