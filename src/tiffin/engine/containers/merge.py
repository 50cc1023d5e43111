"""A container's configuration: what the client said, completed by its image's defaults."""

import posixpath
from collections.abc import Iterable, Sequence

import msgspec

from tiffin.api.types.containers import Config, CreateRequest, HealthConfig
from tiffin.engine.bundle.environment import words
from tiffin.errors import InvalidArgument
from tiffin.spec.container_config import ContainerConfig, Healthcheck

_MINIMUM_HEALTH_NS = 1_000_000


def plain_config(request: CreateRequest) -> Config:
    """Return the Config part of a request."""
    return Config(**{name: getattr(request, name) for name in Config.__struct_fields__})


def merge(config: Config, image: ContainerConfig | None) -> Config:
    """Return `config` with everything that it leaves open taken from the image.

    InvalidArgument if there is nothing to run, or for an unusable health check or variable.
    """
    merged = msgspec.structs.replace(
        config,
        entrypoint=None if config.entrypoint is None else words(config.entrypoint),
        cmd=None if config.cmd is None else words(config.cmd),
    )
    _check_environment(merged.env or ())
    if image is not None:
        _inherit(merged, image)
    if merged.entrypoint == [""]:
        merged.entrypoint = None
    if not merged.entrypoint and not merged.cmd:
        raise InvalidArgument("no command specified")
    if merged.working_dir and not merged.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{merged.working_dir}' is invalid, "
            "it needs to be an absolute path"
        )
    if merged.working_dir:
        merged.working_dir = "/" + posixpath.normpath(merged.working_dir).lstrip("/")
    if merged.healthcheck is not None:
        _check_health(merged.healthcheck)
    return merged


def _inherit(merged: Config, image: ContainerConfig) -> None:
    merged.user = merged.user or image.user
    merged.working_dir = merged.working_dir or image.working_dir
    merged.stop_signal = merged.stop_signal or image.stop_signal
    if image.shell is not None and merged.shell is None:
        merged.shell = list(image.shell)
    if image.exposed_ports:
        merged.exposed_ports = {
            **{port: {} for port in map(_with_protocol, image.exposed_ports)},
            **(merged.exposed_ports or {}),
        }
    merged.labels = {**image.labels, **(merged.labels or {})}
    merged.env = _inherit_environment(merged.env or (), image.env)
    if image.volumes:
        merged.volumes = {**{path: {} for path in image.volumes}, **(merged.volumes or {})}
    merged.volumes = merged.volumes or None
    merged.exposed_ports = merged.exposed_ports or None
    if not merged.entrypoint:
        if not merged.cmd:
            merged.cmd = list(image.cmd) if image.cmd is not None else None
        if merged.entrypoint is None and image.entrypoint is not None:
            merged.entrypoint = list(image.entrypoint)
    if image.healthcheck is not None:
        merged.healthcheck = _inherit_health(merged.healthcheck, image.healthcheck)


def _with_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def _inherit_environment(own: Sequence[str], image: Iterable[str]) -> list[str]:
    names = {item.partition("=")[0] for item in own}
    return [*own, *(item for item in image if item.partition("=")[0] not in names)]


def _inherit_health(own: HealthConfig | None, image: Healthcheck) -> HealthConfig:
    own = own or HealthConfig()
    return HealthConfig(
        test=own.test or list(image.test) or None,
        interval=own.interval or image.interval_ns,
        timeout=own.timeout or image.timeout_ns,
        start_period=own.start_period or image.start_period_ns,
        start_interval=own.start_interval or image.start_interval_ns,
        retries=own.retries or image.retries,
    )


def _check_environment(env: Iterable[str]) -> None:
    for item in env:
        if not item or item.startswith("="):
            raise InvalidArgument(f"invalid environment variable: {item}")
        if "\0" in item:
            raise InvalidArgument(f"invalid environment variable: {item!r}")


def _check_health(health: HealthConfig) -> None:
    for name, value in (
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ):
        if value and value < _MINIMUM_HEALTH_NS:
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")
    if health.test and health.test[0] not in ("NONE", "CMD", "CMD-SHELL"):
        raise InvalidArgument(f"unknown type in Healthcheck: {health.test[0]}")
