"""HostConfig as the client sent it: checked, and completed with the daemon's defaults."""

import posixpath
import re

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig, LogConfig
from tiffin.api.types.resources import RestartPolicy, Ulimit
from tiffin.engine.bundle import capabilities
from tiffin.engine.bundle.limits import LARGEST, check_resources
from tiffin.engine.bundle.namespaces import check_cgroup_parent, check_modes, shared_with
from tiffin.engine.bundle.seccomp import seccomp
from tiffin.engine.bundle.security import masked_paths, parse_security_options, readonly_paths
from tiffin.engine.bundle.sysctls import check_sysctls
from tiffin.engine.bundle.user_namespaces import check_conflicts, user_namespace_mode
from tiffin.engine.containers.context import Settings
from tiffin.engine.containers.registry import Registry
from tiffin.engine.containers.signals import parse_signal
from tiffin.engine.networks.wishes import canonical_mac
from tiffin.errors import InvalidArgument, NotFound
from tiffin.linux.cgroups.support import EVERYTHING, Support
from tiffin.logs import options as log_options

_POLICIES = frozenset({"", "no", "always", "unless-stopped", "on-failure"})
_HOST_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?")
_PORT = re.compile(r"(\d{1,5})(-\d{1,5})?(/[a-zA-Z]+)?")


def check_settings(config: Config, host: HostConfig, support: Support = EVERYTHING) -> list[str]:
    """Return warnings; InvalidArgument names what cannot be meant.

    Limits that the kernel lacks are taken out of `host`.
    """
    warnings = check_resources(host, support)
    capabilities.normalise(host.cap_add or (), "CapAdd")
    capabilities.normalise(host.cap_drop or (), "CapDrop")
    security = parse_security_options(host.security_opt or ())
    seccomp(security.seccomp, ())
    check_modes(host)
    check_sysctls(host)
    check_cgroup_parent(host.cgroup_parent)
    check_restart_policy(host.restart_policy, auto_remove=host.auto_remove)
    _check_identity(config, host)
    _check_ports(config, host)
    _check_network_conflicts(config, host)
    _check_values(host)
    if config.stop_signal:
        parse_signal(config.stop_signal)
    return warnings


def check_restart_policy(policy: RestartPolicy, *, auto_remove: bool = False) -> None:
    """Raise InvalidArgument for an unknown or contradictory policy."""
    count = policy.maximum_retry_count
    if policy.name not in _POLICIES:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{policy.name}'; use one of 'no', 'always',"
            " 'on-failure', or 'unless-stopped'"
        )
    if policy.name == "on-failure" and count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    # Old clients send a count with the empty name, which is the default.
    if policy.name not in ("on-failure", "") and count:
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + (" and cannot be negative" if count < 0 else "")
        )
    if auto_remove and policy.name not in ("", "no"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")


def _check_identity(config: Config, host: HostConfig) -> None:
    if config.hostname and (len(config.hostname) > 63 or not _HOST_NAME.fullmatch(config.hostname)):
        raise InvalidArgument(f"invalid hostname format: {config.hostname}")
    if config.hostname and host.uts_mode == "host":
        raise InvalidArgument("conflicting options: hostname and the UTS mode")
    if len(config.domainname) > 64 or not config.domainname.isprintable():
        raise InvalidArgument(f"invalid domainname format: {config.domainname}")
    canonical_mac(config.mac_address)
    if host.uts_mode == "host" and config.domainname:
        raise InvalidArgument("conflicting options: domainname and the UTS mode")


def _check_ports(config: Config, host: HostConfig) -> None:
    for port in config.exposed_ports or {}:
        _check_port(port)
    for port, bindings in (host.port_bindings or {}).items():
        _check_port(port)
        for binding in bindings or ():
            low, _, high = binding.host_port.partition("-")
            for text in filter(None, (low, high)):
                if not text.isascii() or not text.isdigit() or int(text) > 65535:
                    raise InvalidArgument(f'invalid port specification: "{binding.host_port}"')


def _check_port(port: str) -> None:
    match = _PORT.fullmatch(port)
    if match is None or not 1 <= int(match[1]) <= 65535:
        raise InvalidArgument(f'invalid port specification: "{port}"')
    if match[2] and not int(match[1]) <= int(match[2][1:]) <= 65535:
        raise InvalidArgument(f'invalid port specification: "{port}"')


def _check_network_conflicts(config: Config, host: HostConfig) -> None:
    mode = host.network_mode
    if mode == "host" and host.links:
        raise InvalidArgument(
            "conflicting options: host type networking can't be used with links. This would result"
            " in undefined behavior"
        )
    if not shared_with(mode):
        return
    conflicts = (
        (config.hostname, "hostname"),
        (host.dns, "dns"),
        (host.extra_hosts, "custom host-to-IP mapping"),
        (config.mac_address, "mac-address"),
    )
    if host.links and not config.hostname:
        raise InvalidArgument(
            "conflicting options: container type network can't be used with links. This would"
            " result in undefined behavior"
        )
    for value, what in conflicts:
        if value:
            raise InvalidArgument(f"conflicting options: {what} and the network mode")
    if host.port_bindings or host.publish_all_ports:
        raise InvalidArgument(
            "conflicting options: port publishing and the container type network mode"
        )
    if config.exposed_ports:
        raise InvalidArgument(
            "conflicting options: port exposing and the container type network mode"
        )


def _check_values(host: HostConfig) -> None:
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    if host.isolation not in ("", "default"):
        raise InvalidArgument(f"invalid isolation '{host.isolation}' on linux")
    _check_paths_and_annotations(host)
    if len(host.console_size) != 2 or not all(0 <= size <= 65535 for size in host.console_size):
        raise InvalidArgument(f"invalid console size: {host.console_size}")


def _check_paths_and_annotations(host: HostConfig) -> None:
    for path in (*(host.masked_paths or ()), *(host.readonly_paths or ())):
        if not path.startswith("/") or posixpath.normpath(path) != path.rstrip("/"):
            raise InvalidArgument(f"invalid path: {path}")
    for key in host.annotations or {}:
        if not key:
            raise InvalidArgument(
                "invalid Annotations: the empty string is not permitted as an annotation key"
            )
        if key.startswith("org.tiffin."):
            raise InvalidArgument(f"annotation {key} is reserved")


def complete(
    host: HostConfig, settings: Settings, registry: Registry, support: Support = EVERYTHING
) -> None:
    """Fill in defaults in place; modes that name a container get its full id."""
    if host.memory > 0 and not host.memory_swap:
        host.memory_swap = min(host.memory * 2, LARGEST)
    host.shm_size = host.shm_size or settings.shm_size
    if host.oom_kill_disable is None and support.oom_kill_disable:
        host.oom_kill_disable = False
    host.ipc_mode = host.ipc_mode or settings.ipc_mode
    host.cgroupns_mode = host.cgroupns_mode or settings.cgroupns_mode
    host.cgroup_parent = host.cgroup_parent or settings.cgroup_parent
    _add_ulimits(host, settings)
    _add_labels(host)
    host.network_mode = host.network_mode or "bridge"
    host.restart_policy.name = host.restart_policy.name or "no"
    host.log_config = _log_config(host.log_config, settings)
    if not host.privileged:
        host.masked_paths = masked_paths(host)
        host.readonly_paths = readonly_paths(host)
    if host.pids_limit is not None and host.pids_limit <= 0:
        host.pids_limit = None
    host.port_bindings = {
        key if "/" in key else f"{key}/tcp": bindings
        for key, bindings in (host.port_bindings or {}).items()
    }
    mode = user_namespace_mode(host)
    check_conflicts(host, is_remapped=mode.is_own or (not mode.kind and bool(settings.id_mappings)))
    host.network_mode = _by_id(host.network_mode, registry)
    host.pid_mode = _by_id(host.pid_mode, registry, required=True)
    host.ipc_mode = _by_id(host.ipc_mode, registry, required=True)


def _log_config(wanted: LogConfig, settings: Settings) -> LogConfig:
    """Complete it; the daemon's options hold for its driver, those of the copy for all of them.

    InvalidArgument.
    """
    driver = wanted.type or settings.log_driver
    defaults = settings.log_options or {}
    if driver != settings.log_driver:
        defaults = {name: text for name, text in defaults.items() if log_options.is_cache(name)}
    options = {**defaults, **(wanted.config or {})}
    log_options.validate(driver, options)
    return LogConfig(type=driver, config=options)


def _add_ulimits(host: HostConfig, settings: Settings) -> None:
    own = {limit.name for limit in host.ulimits or ()}
    added = [
        Ulimit(name=name, soft=soft, hard=hard)
        for name, (soft, hard) in settings.ulimits.items()
        if name not in own
    ]
    if added:
        host.ulimits = [*(host.ulimits or ()), *added]


def _add_labels(host: HostConfig) -> None:
    """Show, as Docker does, that who shares the host's namespaces has no label of his own."""
    own = host.security_opt or []
    shares = host.privileged or "host" in (host.ipc_mode, host.pid_mode)
    if shares and not any(option.partition("=")[0] == "label" for option in own):
        host.security_opt = [*own, "label=disable"]


def _by_id(mode: str, registry: Registry, *, required: bool = False) -> str:
    other = shared_with(mode)
    if not other:
        return mode
    try:
        return f"container:{registry.find(other).id}"
    except NotFound as error:
        if required:
            raise InvalidArgument(error.message) from error
        return mode  # it may exist by the time of the start, which will say so if not
