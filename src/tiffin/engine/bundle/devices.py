"""Device nodes and device cgroup rules (OCI config-linux, sections Devices and Device list)."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from tiffin.api.types.resources import DeviceMapping
from tiffin.errors import FailedPrecondition, InvalidArgument

JsonObject = dict[str, Any]

_RULE = re.compile(r"([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})")
_PERMISSIONS = re.compile(r"[rwm]{1,3}")
_DEFAULT_RULES = (
    ("c", None, None, "m"), ("b", None, None, "m"),
    ("c", 1, 3, "rwm"), ("c", 1, 5, "rwm"), ("c", 1, 7, "rwm"), ("c", 1, 8, "rwm"),
    ("c", 1, 9, "rwm"), ("c", 5, 0, "rwm"), ("c", 5, 2, "rwm"), ("c", 136, None, "rwm"),
)  # fmt: skip
_SKIPPED = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"})


def default_rules() -> list[JsonObject]:
    """Return the rules of an unprivileged container: everything denied but the usual few."""
    return [
        {"allow": False, "access": "rwm"},
        *(_rule(kind, major, minor, access) for kind, major, minor, access in _DEFAULT_RULES),
    ]


def everything_allowed() -> list[JsonObject]:
    """Return the rules of a privileged container."""
    return [{"allow": True, "access": "rwm"}]


def _rule(kind: str, major: int | None, minor: int | None, access: str) -> JsonObject:
    rule: JsonObject = {"allow": True, "type": kind, "access": access}
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


def parse_rules(rules: Sequence[str]) -> list[JsonObject]:
    """Parse `--device-cgroup-rule`; InvalidArgument quotes the bad one."""
    parsed = []
    for text in rules:
        match = _RULE.fullmatch(text)
        if match is None:
            raise InvalidArgument(f"invalid device cgroup rule format: '{text}'")
        kind, major, minor, access = match.groups()
        parsed.append(
            _rule(
                kind,
                None if major == "*" else int(major),
                None if minor == "*" else int(minor),
                access,
            )
        )
    return parsed


def check_mapping(mapping: DeviceMapping) -> None:
    """Raise InvalidArgument for a `--device` that cannot be meant."""
    if not mapping.path_on_host.startswith("/"):
        raise InvalidArgument(f"invalid device path: {mapping.path_on_host}")
    target = mapping.path_in_container
    if target and (not target.startswith("/") or ".." in target.split("/")):
        raise InvalidArgument(f"{target} is not an absolute path")
    permissions = mapping.cgroup_permissions
    if permissions and not _PERMISSIONS.fullmatch(permissions):
        raise InvalidArgument(f"invalid device mode: {permissions}")


def mapped(mapping: DeviceMapping) -> tuple[list[JsonObject], list[JsonObject]]:
    """Return nodes and rules of one `--device`; a directory gives all devices below it.

    FailedPrecondition if the host has no such device.
    """
    source = os.path.realpath(mapping.path_on_host)
    target = mapping.path_in_container or mapping.path_on_host
    access = mapping.cgroup_permissions or "rwm"
    try:
        mode = os.stat(source).st_mode
    except OSError as error:
        raise _not_gathered(mapping, os.strerror(error.errno or 0).lower()) from error
    if stat.S_ISDIR(mode):
        nodes = [
            node
            for path in _below(source)
            if (node := _node(path, target + path.removeprefix(source))) is not None
        ]
        if not nodes:
            raise _not_gathered(mapping, "not a device node")
    else:
        single = _node(source, target)
        if single is None:
            raise _not_gathered(mapping, "not a device node")
        nodes = [single]
    rules = [_rule(node["type"], node["major"], node["minor"], access) for node in nodes]
    return nodes, rules


def _not_gathered(mapping: DeviceMapping, reason: str) -> FailedPrecondition:
    return FailedPrecondition(
        "error gathering device information while adding custom device "
        f'"{mapping.path_on_host}": {reason}'
    )


def host_devices() -> list[JsonObject]:
    """Return every device node of the host, for `--privileged`."""
    return [node for path in _below("/dev") if (node := _node(path, path)) is not None]


def _below(directory: str) -> Iterator[str]:
    for root, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if name not in _SKIPPED)
        yield from (f"{root}/{name}" for name in sorted(files) if name not in _SKIPPED)


def _node(path: str, target: str) -> JsonObject | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:  # it vanished meanwhile, or may not be looked at
        return None
    if stat.S_ISCHR(status.st_mode):
        kind = "c"
    elif stat.S_ISBLK(status.st_mode):
        kind = "b"
    else:
        return None
    return {
        "path": target,
        "type": kind,
        "major": os.major(status.st_rdev),
        "minor": os.minor(status.st_rdev),
        "fileMode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
