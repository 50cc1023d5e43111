"""Put the edits of CDI devices into an OCI runtime configuration."""

import os
import stat
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tiffin.engine.cdi.specification import CdiMount, DeviceNode, Edits, Hook, IntelRdt
from tiffin.errors import FailedPrecondition

JsonObject = dict[str, Any]

_OCI_KINDS = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p"}
_MEMBERS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def apply(config: JsonObject, edits: Iterable[Edits]) -> None:
    """Change `config` in place; FailedPrecondition if the host lacks a device node."""
    for edit in edits:
        _environment(config["process"], edit.env)
        _nodes(config, edit.device_nodes)
        _mounts(config, edit.mounts)
        for hook in edit.hooks:
            config.setdefault("hooks", {}).setdefault(hook.hook_name, []).append(_hook(hook))
        for device in edit.net_devices:
            config["linux"].setdefault("netDevices", {})[device.host_interface_name] = {
                "name": device.name
            }
        if edit.intel_rdt is not None:
            config["linux"]["intelRdt"] = _intel_rdt(edit.intel_rdt)
        _groups(config["process"]["user"], edit.additional_gids)


def _environment(process: JsonObject, variables: Sequence[str]) -> None:
    merged = {item.partition("=")[0]: item for item in (*process.get("env", ()), *variables)}
    process["env"] = list(merged.values())


def _groups(user: JsonObject, groups: Sequence[int]) -> None:
    wanted = [group for group in groups if group]
    if wanted:
        user["additionalGids"] = list(dict.fromkeys([*user.get("additionalGids", ()), *wanted]))


def _nodes(config: JsonObject, nodes: Sequence[DeviceNode]) -> None:
    if not nodes:
        return
    linux, user = config["linux"], config["process"]["user"]
    for node in nodes:
        made = _oci_device(node)
        for member in ("uid", "gid"):
            if member not in made and user[member]:
                made[member] = user[member]
        others = [other for other in linux.get("devices", ()) if other["path"] != node.path]
        linux["devices"] = [*others, made]
        if made["type"] in ("b", "c", "u"):
            linux["resources"].setdefault("devices", []).append(
                {
                    "allow": True,
                    "type": "b" if made["type"] == "b" else "c",
                    "major": made["major"],
                    "minor": made["minor"],
                    "access": node.permissions or "rwm",
                }
            )


def _oci_device(node: DeviceNode) -> JsonObject:
    kind, major, minor, mode = node.type, node.major, node.minor, node.file_mode
    if not kind or (kind != "p" and not major and not minor):
        kind, major, minor, found_mode = _of_host(node)
        mode = found_mode if mode is None else mode
    made: JsonObject = {"path": node.path, "type": kind, "major": major, "minor": minor}
    if mode is not None:
        made["fileMode"] = stat.S_IMODE(mode)
    for member, value in (("uid", node.uid), ("gid", node.gid)):
        if value is not None:
            made[member] = value
    return made


def _of_host(node: DeviceNode) -> tuple[str, int, int, int]:
    """Return kind, major, minor and mode of the host's node."""
    path = node.host_path or node.path
    try:
        status = os.stat(path)
    except OSError as error:
        raise FailedPrecondition(
            f"CDI device injection failed: failed to stat CDI host device {path!r}: "
            f"{os.strerror(error.errno or 0).lower()}"
        ) from error
    kind = _OCI_KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None or (node.type and _MEMBERS[node.type] != stat.S_IFMT(status.st_mode)):
        raise FailedPrecondition(
            f"CDI device injection failed: CDI device {path!r}: the host's node is of another type"
        )
    return (
        kind,
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
        stat.S_IMODE(status.st_mode),
    )


def _mounts(config: JsonObject, mounts: Sequence[CdiMount]) -> None:
    if not mounts:
        return
    replaced = {mount.container_path for mount in mounts}
    kept = [mount for mount in config["mounts"] if mount["destination"] not in replaced]
    added = [
        {
            "destination": mount.container_path,
            "type": mount.type or "bind",
            "source": mount.host_path,
            "options": list(mount.options) or ["bind"],
        }
        for mount in mounts
    ]
    # A mount must come after the one that holds its place; the sort keeps the order of equals.
    config["mounts"] = sorted(
        [*kept, *added], key=lambda mount: mount["destination"].rstrip("/").count("/")
    )


def _hook(hook: Hook) -> JsonObject:
    made: JsonObject = {"path": hook.path}
    if hook.args:
        made["args"] = list(hook.args)
    if hook.env:
        made["env"] = list(hook.env)
    if hook.timeout is not None:
        made["timeout"] = hook.timeout
    return made


def _intel_rdt(wanted: IntelRdt) -> JsonObject:
    made: JsonObject = msgspec.to_builtins(wanted)
    return {name: value for name, value in made.items() if value}
