"""The `config` section of an image: the defaults that its containers start with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiffin.spec.descriptor import as_integer, as_object, as_string, as_string_map, as_strings

_MEMBERS = frozenset(
    ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels",
     "StopSignal", "Healthcheck", "Shell", "OnBuild", "ArgsEscaped")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """How health is checked. Times are nanoseconds, 0 for the default.

    `test` is `("NONE",)`, `("CMD", …)` or `("CMD-SHELL", line)`; () inherits.
    """

    test: tuple[str, ...] = ()
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0

    @classmethod
    def from_json(cls, value: object) -> "Healthcheck":
        """Read one; InvalidArgument."""
        raw = as_object(value, "healthcheck")
        return cls(
            test=as_strings(raw.get("Test"), "healthcheck: Test") or (),
            interval_ns=as_integer(raw.get("Interval"), "healthcheck: Interval"),
            timeout_ns=as_integer(raw.get("Timeout"), "healthcheck: Timeout"),
            start_period_ns=as_integer(raw.get("StartPeriod"), "healthcheck: StartPeriod"),
            start_interval_ns=as_integer(raw.get("StartInterval"), "healthcheck: StartInterval"),
            retries=as_integer(raw.get("Retries"), "healthcheck: Retries"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without empty members."""
        members = {
            "Test": list(self.test),
            "Interval": self.interval_ns,
            "Timeout": self.timeout_ns,
            "StartPeriod": self.start_period_ns,
            "StartInterval": self.start_interval_ns,
            "Retries": self.retries,
        }
        return {key: value for key, value in members.items() if value}


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """Defaults for containers. `None` is JSON's null, told from empty where clients see it.

    `exposed_ports` (`80/tcp`) and `volumes` (absolute paths) are JSON objects with empty values.
    """

    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> "ContainerConfig":
        """Read one; null is the empty config; InvalidArgument."""
        raw = as_object(value, "image config: config")
        health = raw.get("Healthcheck")
        return cls(
            user=as_string(raw.get("User"), "image config: User"),
            exposed_ports=tuple(as_object(raw.get("ExposedPorts"), "image config: ExposedPorts")),
            env=as_strings(raw.get("Env"), "image config: Env") or (),
            entrypoint=as_strings(raw.get("Entrypoint"), "image config: Entrypoint"),
            cmd=as_strings(raw.get("Cmd"), "image config: Cmd"),
            volumes=tuple(as_object(raw.get("Volumes"), "image config: Volumes")),
            working_dir=as_string(raw.get("WorkingDir"), "image config: WorkingDir"),
            labels=as_string_map(raw.get("Labels"), "image config: Labels"),
            stop_signal=as_string(raw.get("StopSignal"), "image config: StopSignal"),
            healthcheck=Healthcheck.from_json(health) if health is not None else None,
            shell=as_strings(raw.get("Shell"), "image config: Shell"),
            on_build=as_strings(raw.get("OnBuild"), "image config: OnBuild") or (),
            args_escaped=bool(raw.get("ArgsEscaped")),
            extra={key: item for key, item in raw.items() if key not in _MEMBERS},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without empty members; a `()` that is not None is `[]`."""
        optional: dict[str, Any] = {
            "User": self.user,
            "ExposedPorts": {port: {} for port in sorted(self.exposed_ports)},
            "Env": list(self.env),
        }
        out = {key: value for key, value in optional.items() if value}
        if self.entrypoint is not None:
            out["Entrypoint"] = list(self.entrypoint)
        if self.cmd is not None:
            out["Cmd"] = list(self.cmd)
        optional = {
            "Volumes": {path: {} for path in sorted(self.volumes)},
            "WorkingDir": self.working_dir,
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "OnBuild": list(self.on_build),
            "ArgsEscaped": self.args_escaped,
        }
        out |= {key: value for key, value in optional.items() if value}
        if self.healthcheck is not None:
            out["Healthcheck"] = self.healthcheck.to_json()
        if self.shell is not None:
            out["Shell"] = list(self.shell)
        return out | dict(self.extra)
