"""A CDI file as data: what it may contain, read strictly (CDI specification 0.3.0 to 1.1.0)."""

import re
from pathlib import Path
from typing import Annotated

import msgspec

from tiffin.engine.cdi.names import is_kind, is_name
from tiffin.errors import InvalidArgument

VERSIONS = frozenset({
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0",
})  # fmt: skip
HOOKS = frozenset({
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
})  # fmt: skip
_LARGEST_FILE = 4 << 20
_OCTAL = re.compile(r"0o[0-7]+$")
_KINDS = frozenset({"", "b", "c", "u", "p"})
_Id = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Common to all: members are camelCase, and one that is not known is an error."""


class DeviceNode(_Part, frozen=True):
    """A node to make in the container; what is missing is taken from the node `host_path`."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = 0
    minor: int = 0
    file_mode: int | None = None
    permissions: str = ""
    uid: _Id | None = None
    gid: _Id | None = None


class NetDevice(_Part, frozen=True):
    """An interface of the host that moves into the container."""

    host_interface_name: str
    name: str


class CdiMount(_Part, frozen=True):
    """A mount to add."""

    host_path: str
    container_path: str
    options: tuple[str, ...] = ()
    type: str = ""


class Hook(_Part, frozen=True):
    """A program to run at a moment of the container's life. `timeout` is in seconds."""

    hook_name: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: int | None = None


class IntelRdt(_Part, frozen=True):
    """Cache and memory bandwidth classes."""

    clos_id: str = msgspec.field(default="", name="closID")
    l3_cache_schema: str = msgspec.field(default="", name="l3CacheSchema")
    mem_bw_schema: str = ""
    schemata: tuple[str, ...] = ()
    enable_monitoring: bool = False
    enable_cmt: bool = msgspec.field(default=False, name="enableCMT")
    enable_mbm: bool = msgspec.field(default=False, name="enableMBM")


class Edits(_Part, frozen=True):
    """Changes of an OCI runtime configuration."""

    env: tuple[str, ...] = ()
    device_nodes: tuple[DeviceNode, ...] = ()
    net_devices: tuple[NetDevice, ...] = ()
    hooks: tuple[Hook, ...] = ()
    mounts: tuple[CdiMount, ...] = ()
    intel_rdt: IntelRdt | None = None
    additional_gids: tuple[_Id, ...] = ()


class Device(_Part, frozen=True):
    """One device of a file."""

    name: str
    container_edits: Edits
    annotations: dict[str, str] = {}


class Specification(_Part, frozen=True):
    """A file: devices of one kind, and edits that go with any of them."""

    cdi_version: str
    kind: str
    devices: tuple[Device, ...]
    container_edits: Edits = Edits()
    annotations: dict[str, str] = {}


def load(path: Path) -> Specification:
    """Read a `.json` or `.yaml` file; InvalidArgument names the file and what is wrong."""
    try:
        content = _read(path)
        found = (
            msgspec.json.decode(content, type=Specification)
            if path.suffix == ".json"
            else _from_yaml(content)
        )
        _check(found)
    except (msgspec.DecodeError, OSError, ValueError, InvalidArgument) as error:
        raise InvalidArgument(f"failed to load CDI Spec {path}: {error}") from error
    return found


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise InvalidArgument(f"larger than {_LARGEST_FILE} bytes")
    return content


def _from_yaml(content: bytes) -> Specification:
    import yaml  # few machines have such files, and it is a large module

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Reads YAML 1.2's octal numbers (0o660) beside those of 1.1 (0660), as Go's reader does."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:int", _OCTAL, "0")
    try:
        return msgspec.convert(yaml.load(content, Loader=Loader), Specification)
    except yaml.YAMLError as error:
        raise InvalidArgument(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise InvalidArgument("nested too deeply") from error


def _check(found: Specification) -> None:
    if found.cdi_version not in VERSIONS:
        raise InvalidArgument(f"invalid version {found.cdi_version!r}")
    if not is_kind(found.kind):
        raise InvalidArgument(f"invalid kind {found.kind!r}: expected vendor/class")
    if not found.devices:
        raise InvalidArgument("no devices")
    _check_edits(found.container_edits, "containerEdits")
    seen = set()
    for device in found.devices:
        if not is_name(device.name):
            raise InvalidArgument(f"invalid device name {device.name!r}")
        if device.name in seen:
            raise InvalidArgument(f"multiple devices are named {device.name!r}")
        seen.add(device.name)
        if device.container_edits == Edits():
            raise InvalidArgument(f"device {device.name!r} has empty containerEdits")
        _check_edits(device.container_edits, f"device {device.name!r}")


def _check_edits(edits: Edits, where: str) -> None:
    for variable in edits.env:
        if variable.find("=") <= 0:
            raise InvalidArgument(f"{where}: invalid environment variable {variable!r}")
    for node in edits.device_nodes:
        if not node.path or node.type not in _KINDS or set(node.permissions) - set("rwm"):
            raise InvalidArgument(f"{where}: invalid device node {node.path!r}")
    for hook in edits.hooks:
        if hook.hook_name not in HOOKS or not hook.path:
            raise InvalidArgument(f"{where}: invalid hook {hook.hook_name!r}")
    for mount in edits.mounts:
        if not mount.host_path or not mount.container_path:
            raise InvalidArgument(f"{where}: a mount needs hostPath and containerPath")
    _check_interfaces(edits, where)


def _check_interfaces(edits: Edits, where: str) -> None:
    for names in (
        [device.host_interface_name for device in edits.net_devices],
        [device.name for device in edits.net_devices],
    ):
        if "" in names or len(set(names)) != len(names):
            raise InvalidArgument(f"{where}: network devices need names of their own")
