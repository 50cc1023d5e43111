"""JSON of the API as Go's templates see it: structs, maps, and values that are absent.

Docker's client decodes into Go structs before it runs a template. A struct prints as `{a b}`, a map as
`map[k:v]`, an empty list as `[]`, a nil pointer as `<nil>`; a key that a map does not have is
`<no value>`, but a field that a struct does not have is an error. Plain JSON does not tell which is
which, so the names of the API's maps, pointers and optional members are listed here.
"""

from typing import Any

MAPS = frozenset(
    (
        "Annotations", "Attributes", "AuxiliaryAddresses", "Config.Options", "Containers", "Details",
        "DriverOpts", "ExposedPorts", "IndexConfigs", "Labels", "LogConfig.Config", "Networks",
        "Options", "PortBindings", "Ports", "Runtimes", "Status", "StorageOpt", "Sysctls", "Tmpfs",
        "Volumes", "Data",
    )
)  # fmt: skip
POINTERS = frozenset(
    (
        "Health", "Healthcheck", "IPAMConfig", "Init", "MemorySwappiness", "OomKillDisable",
        "PidsLimit", "SizeRootFs", "SizeRw", "StopTimeout", "UsageData", "ClusterVolume",
        "ImageManifestDescriptor", "Descriptor",
    )
)  # fmt: skip
OPTIONAL: dict[str, Any] = {
    "ExposedPorts": {}, "OnBuild": [], "Shell": [], "StopSignal": "", "MacAddress": "",
    "Annotations": {}, "StorageOpt": {}, "Sysctls": {}, "Tmpfs": {}, "Mounts": [], "Init": None,
    "Health": None, "Healthcheck": None, "StopTimeout": None, "SizeRw": None, "SizeRootFs": None,
    "Runtime": "", "NetworkDisabled": False, "ArgsEscaped": False, "Status": {}, "UsageData": None,
    "Variant": "", "OsVersion": "", "Parent": "", "Comment": "", "Author": "", "DockerVersion": "",
    "Container": "", "VirtualSize": 0,
}  # fmt: skip
"""Members that the API leaves out when they are empty, with their empty values."""


class GoMap(dict[str, Any]):
    """A map: any key may be asked for."""


class Absent:
    """A null: `text` is how Go prints it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __str__(self) -> str:
        return self.text


def from_json(value: Any, name: str = "", parent: str = "") -> Any:  # noqa: ANN401
    """Return `value` with maps and nulls told apart; `name` is the member that holds it."""
    if value is None:
        if name in MAPS:
            return Absent("map[]")
        return Absent("<nil>" if name in POINTERS else "[]")
    if isinstance(value, dict):
        members = {key: from_json(item, key, name) for key, item in value.items()}
        return GoMap(members) if name in MAPS or f"{parent}.{name}" in MAPS else members
    if isinstance(value, list):
        return [from_json(item) for item in value]
    return value


def optional(name: str) -> tuple[bool, Any]:
    """Tell whether a struct may lack the member, and what it is then."""
    if name not in OPTIONAL:
        return False, None
    return True, from_json(OPTIONAL[name], name)
