"""An OCI runtime `config.json` as frozen values (runtime-spec: config.md, config-linux.md).

Lenient about what is unknown or absent, strict about types: InvalidArgument names the member.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.errors import InvalidArgument
from tiffin.linux.namespaces import KINDS
from tiffin.runtime.config_process import ProcessConfig, parse_process
from tiffin.runtime.config_reader import JsonObject, Reader
from tiffin.spec.id_mapping import IdMapping, IdMappings
from tiffin.spec.mount import Mount

if TYPE_CHECKING:
    from tiffin.runtime.hooks import Hook, Hooks
    from tiffin.runtime.operation import Operation

_IDMAP = frozenset({"idmap", "ridmap"})
ROOTFS_ANNOTATION = "org.tiffin.rootfs"
"""JSON list of {fstype, source, options, target}: what is mounted at the root, inside the mount
namespace only, so that the host never sees it."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One of `linux.namespaces`: a new one, or with `path` an existing one to join."""

    kind: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """One of `linux.devices`; `kind` is b, c, u or p."""

    path: str
    kind: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Config:
    """A bundle's configuration. `root` is absolute; `cgroups_path` "" is for the runtime to pick."""

    root: str
    process: ProcessConfig
    root_readonly: bool = False
    rootfs: tuple[Mount, ...] = ()
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    """`target` is the absolute path in the container."""
    idmaps: Mapping[int, IdMappings] = field(default_factory=dict)
    """By place in `mounts`, for idmapped ones; empty mappings are those of the container."""
    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: JsonObject | None = None
    sysctl: tuple[tuple[str, str], ...] = ()
    seccomp: JsonObject | None = None
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    root_propagation: str = ""
    personality: "Operation | None" = None
    time_offsets: tuple[tuple[str, int, int], ...] = ()
    """(clock, seconds, nanoseconds) of a new time namespace."""
    hooks: "Hooks | None" = None
    annotations: Mapping[str, str] = field(default_factory=dict)

    def namespace(self, kind: str) -> Namespace | None:
        """Return the namespace of that OCI word, None if the host's is to be shared."""
        return next((item for item in self.namespaces if item.kind == kind), None)

    @property
    def needs_outside(self) -> bool:
        """There are mounts that root of the host must make (`outside.py`)."""
        if self.idmaps or self.namespace("user") is not None:
            return True
        ipc = self.namespace("ipc")
        return ipc is not None and bool(ipc.path)

    def has_new(self, kind: str) -> bool:
        """Tell whether a new namespace of that kind is to be made."""
        found = self.namespace(kind)
        return found is not None and not found.path


def read(bundle: Path) -> JsonObject:
    """Return the bundle's `config.json` as it stands; InvalidArgument."""
    import json  # whoever makes a task has it loaded already

    try:
        document = json.loads((bundle / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"cannot read {bundle}/config.json: {error}") from error
    if not isinstance(document, dict):
        raise InvalidArgument(f"{bundle}/config.json must hold an object")
    return document


def parse(document: JsonObject, bundle: Path) -> Config:
    """Read a decoded `config.json`; InvalidArgument."""
    top = Reader(document, "config.json")
    linux, root = top.section("linux"), top.section("root")
    process = top.section("process")
    if not process.value:
        raise InvalidArgument("config.json: process must be given")
    _refuse(linux)
    path = str(bundle / root.text("path", "rootfs"))
    mounts = top.sections("mounts")
    return Config(
        root=path,
        root_readonly=root.flag("readonly"),
        rootfs=_rootfs(top.section("annotations")),
        process=parse_process(process.value),
        hostname=top.text("hostname"),
        domainname=top.text("domainname"),
        mounts=tuple(_mount(item, path) for item in mounts),
        namespaces=_namespaces(linux.sections("namespaces")),
        idmaps=_idmaps(mounts),
        uid_mappings=_mappings(linux, "uidMappings"),
        gid_mappings=_mappings(linux, "gidMappings"),
        devices=tuple(_device(item) for item in linux.sections("devices")),
        cgroups_path=linux.text("cgroupsPath"),
        resources=linux.section("resources").value or None,
        sysctl=tuple(linux.section("sysctl").strings_by_name().items()),
        seccomp=linux.section("seccomp").value or None,
        masked_paths=linux.strings("maskedPaths"),
        readonly_paths=linux.strings("readonlyPaths"),
        root_propagation=linux.text("rootfsPropagation"),
        personality=_personality(linux.section("personality")),
        time_offsets=_time_offsets(linux),
        hooks=_hooks(top),
        annotations=top.section("annotations").strings_by_name(),
    )


def section(document: object, name: str) -> JsonObject:
    """Return `document` if it is an object; InvalidArgument names it."""
    return Reader(document, name).value


def _rootfs(annotations: Reader) -> tuple[Mount, ...]:
    text = annotations.text(ROOTFS_ANNOTATION)
    if not text:
        return ()
    import json  # the bundle's reader has it loaded already

    name = f"{annotations.name}.{ROOTFS_ANNOTATION}"
    try:
        items = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"{name} is not JSON: {error}") from None
    if not isinstance(items, list):
        raise InvalidArgument(f"{name} must be an array")
    readers = [Reader(item, name) for item in items]
    return tuple(
        Mount(
            item.text("fstype"), item.text("source"), item.strings("options"), item.text("target")
        )
        for item in readers
    )


def _mount(item: Reader, root: str) -> Mount:
    destination, options = item.text("destination"), item.strings("options")
    # Some tools give the host's path of a place in the root; other runtimes take that, too.
    destination = (
        destination.removeprefix(root) if destination.startswith(f"{root}/") else destination
    )
    if not destination:
        raise InvalidArgument(f"{item.name}.destination must be given")
    kind = item.text("type")
    if "bind" in options or "rbind" in options or kind in ("", "none"):
        kind = "bind"
    if item.value.get("uidMappings") and not _IDMAP & set(options):
        options = (*options, "idmap")
    # Relative destinations are taken from the root, as the specification's older versions did.
    return Mount(kind, item.text("source"), options, "/" + destination.lstrip("/"))


def _idmaps(items: list[Reader]) -> dict[int, IdMappings]:
    found = {}
    for index, item in enumerate(items):
        value = item.value
        words = value.get("options") or ()
        if not ("uidMappings" in value or "gidMappings" in value or _IDMAP & set(words)):
            continue  # nearly every mount of nearly every container
        mappings = IdMappings(_mappings(item, "uidMappings"), _mappings(item, "gidMappings"))
        if bool(mappings.uids) != bool(mappings.gids):
            raise InvalidArgument(f"{item.name} must have both uidMappings and gidMappings")
        if mappings or _IDMAP & set(words):
            found[index] = mappings
    return found


def _refuse(linux: Reader) -> None:
    """Raise InvalidArgument for what would silently not be done."""
    for key, what in (
        ("intelRdt", "Intel RDT"),
        ("memoryPolicy", "a NUMA memory policy"),
        ("netDevices", "moving a network device of the host"),
    ):
        if linux.section(key).value:
            raise InvalidArgument(f"{linux.name}.{key}: {what} is not offered by this runtime")


def _personality(item: Reader) -> "Operation | None":
    if not item.value:
        return None
    from tiffin.runtime.scheduling import personality

    return personality(item.text("domain"), item.strings("flags"))


def _time_offsets(linux: Reader) -> tuple[tuple[str, int, int], ...]:
    offsets = linux.section("timeOffsets")
    if not offsets.value:
        return ()
    kinds = {item.text("type"): item.text("path") for item in linux.sections("namespaces")}
    if kinds.get("time") != "":
        raise InvalidArgument("time namespace offsets need a new time namespace")
    unknown = [clock for clock in offsets.value if clock not in ("monotonic", "boottime")]
    if unknown:
        raise InvalidArgument(f"{offsets.name}: unknown clock {unknown[0]!r}")
    return tuple(
        (clock, offsets.section(clock).integer("secs"), offsets.section(clock).integer("nanosecs"))
        for clock in offsets.value
    )


def _hooks(top: Reader) -> "Hooks | None":
    section = top.section("hooks")
    if not section.value:
        return None
    from tiffin.runtime.hooks import Hooks  # few containers have some

    return Hooks(
        *(
            tuple(_hook(item) for item in section.sections(kind))
            for kind in ("prestart", "createRuntime", "createContainer", "startContainer",
                         "poststart", "poststop")
        )
    )  # fmt: skip


def _hook(item: Reader) -> "Hook":
    from tiffin.runtime.hooks import Hook

    path, timeout_s = item.text("path"), item.integer("timeout")
    if not path.startswith("/"):
        raise InvalidArgument(f"{item.name}.path must be an absolute path, not {path!r}")
    if item.value.get("timeout") is not None and timeout_s <= 0:
        raise InvalidArgument(f"{item.name}.timeout must be greater than zero")
    env = item.strings("env") if item.value.get("env") is not None else None
    return Hook(path, item.strings("args"), env, timeout_s)


def _namespaces(items: list[Reader]) -> tuple[Namespace, ...]:
    found = tuple(_namespace(item) for item in items)
    if len({item.kind for item in found}) < len(found):
        raise InvalidArgument("malformed spec file: duplicated ns in linux.namespaces")
    return found


def _namespace(item: Reader) -> Namespace:
    kind, path = item.text("type"), item.text("path")
    if kind not in KINDS:
        raise InvalidArgument(f"{item.name}.type {kind!r} is not a namespace type")
    return Namespace(kind, path)


def _mappings(owner: Reader, key: str) -> tuple[IdMapping, ...]:
    return tuple(
        IdMapping(item.integer("containerID"), item.integer("hostID"), item.integer("size"))
        for item in owner.sections(key)
    )


def _device(item: Reader) -> Device:
    kind, path = item.text("type"), item.text("path")
    if kind not in ("b", "c", "u", "p") or not path.startswith("/"):
        raise InvalidArgument(f"{item.name} must have a type (b, c, u, p) and an absolute path")
    return Device(
        path,
        kind,
        item.integer("major"),
        item.integer("minor"),
        item.integer("fileMode", 0o666) & 0o7777,
        item.integer("uid"),
        item.integer("gid"),
    )
