"""Which runtimes `--runtime` takes: our own, and the binaries that the daemon was told of."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiffin.engine.tasks.contract import OciBinary
from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.runtime.executable import NotExecutable, find

OWN = "tiffin"
ALIASES = frozenset({OWN, "runc", "io.containerd.runc.v2"})
"""Names under which clients may ask for our own runtime, unless `runc` is configured."""

RUNC_SHIM = "io.containerd.runc.v2"
INIT_TARGET = "/sbin/docker-init"

_INITS = ("docker-init", "tini-static", "catatonit", "tini", "dumb-init")
_LIBEXEC = ("/usr/local/libexec/docker", "/usr/libexec/docker", "/usr/local/lib/docker",
            "/usr/lib/docker", "/usr/libexec/podman")  # fmt: skip


class Runtimes:
    """The configured binaries by name, and the default; replaced when the daemon reloads.

    `init_path` names the init that containers of other runtimes get with `--init`.
    """

    def __init__(
        self,
        configured: Mapping[str, OciBinary] | None = None,
        default: str = OWN,
        init_path: str = "",
    ) -> None:
        self.configure(configured or {}, default, init_path)

    def configure(
        self, configured: Mapping[str, OciBinary], default: str = OWN, init_path: str = ""
    ) -> None:
        """Take other binaries and another default for containers to come."""
        self.configured = dict(configured)
        self.default = default
        self._init_path = init_path

    def names(self) -> Mapping[str, tuple[str, tuple[str, ...]]]:
        """Return path and arguments of each by name, as `info` tells them."""
        own = dict.fromkeys(sorted(ALIASES), ("tiffin-runtime", ()))
        others = {name: (item.path, item.arguments) for name, item in self.configured.items()}
        return {**own, **others}

    def find(self, name: str) -> OciBinary | None:
        """Return the binary of that name, None for our own runtime; InvalidArgument."""
        found = self.configured.get(name or self.default)
        if found is None and name and name not in ALIASES:
            raise InvalidArgument(f"unknown or invalid runtime name: {name}")
        return found

    def init(self) -> Path:
        """Return the init program for containers of other runtimes; FailedPrecondition."""
        wanted = (self._init_path,) if self._init_path else _INITS
        path = ":".join([*_LIBEXEC, os.environ.get("PATH", os.defpath)])
        for name in wanted:
            try:
                return Path(find(name, [f"PATH={path}"]))
            except NotExecutable:
                continue
        raise FailedPrecondition(f'exec: "{wanted[0]}": executable file not found in $PATH')


def wrap_in_init(bundle: dict[str, Any], init: Path) -> None:
    """Have the host's `init` be the first process of a bundle, as Docker does; in place."""
    bundle["process"]["args"] = [INIT_TARGET, "--", *bundle["process"]["args"]]
    bundle["mounts"].append(
        {
            "destination": INIT_TARGET,
            "type": "bind",
            "source": str(init),
            "options": ["bind", "ro"],
        }
    )


def parse_runtimes(values: Mapping[str, Any], default: str) -> Mapping[str, OciBinary]:
    """Read `runtimes` of daemon.json; InvalidArgument, in Docker's words where it has some.

    `{name: {"path": …, "runtimeArgs": […]}}`, or `{"runtimeType": "io.containerd.runc.v2",
    "options": {"BinaryName": …}}`, which names a binary too; other shims of containerd are refused.
    """
    found = {name: _parse(name, value) for name, value in values.items()}
    if default not in found and default not in ALIASES:
        raise InvalidArgument(f"specified default runtime '{default}' does not exist")
    return found


def _parse(name: str, value: object) -> OciBinary:
    known = {"path": str, "runtimeArgs": list, "runtimeType": str, "options": dict}
    if not isinstance(value, dict):
        raise InvalidArgument(f"runtime {name}: must be an object")
    for key, item in value.items():
        if key not in known:
            raise InvalidArgument(f"runtime {name}: unknown field {key}")
        if not isinstance(item, known[key] | None):
            raise InvalidArgument(f"runtime {name}: invalid value for {key}")
    if name == OWN or "/" in name or not name:
        raise InvalidArgument(f"runtime name '{name}' is reserved")
    path, arguments = value.get("path"), value.get("runtimeArgs") or []
    kind, options = value.get("runtimeType"), value.get("options") or {}
    if not path and not kind:
        raise InvalidArgument(f"runtime {name}: either a runtimeType or a path must be configured")
    if kind:
        return _parse_shim(name, str(kind), value)
    if options:
        raise InvalidArgument(f"runtime {name}: options cannot be used with a path runtime")
    return OciBinary(name, str(path), tuple(str(item) for item in arguments))


def _parse_shim(name: str, kind: str, value: Mapping[str, Any]) -> OciBinary:
    if value.get("path"):
        raise InvalidArgument(
            f"runtime {name}: cannot configure both path and runtimeType for the same runtime"
        )
    if value.get("runtimeArgs"):
        raise InvalidArgument(f"runtime {name}: args cannot be used with a runtimeType runtime")
    if kind != RUNC_SHIM:
        raise InvalidArgument(
            f"runtime {name}: runtimeType {kind} needs a shim of containerd, which this engine "
            "does without: configure the path of an OCI runtime"
        )
    options = value.get("options") or {}
    # The rest says how containerd's shim is to behave, or is the default anyway.
    unknown = [key for key, item in options.items() if key not in ("BinaryName", "Root") and item]
    if unknown:
        raise InvalidArgument(f"runtime {name}: option {unknown[0]} is not offered")
    return OciBinary(name, str(options.get("BinaryName") or "runc"))
