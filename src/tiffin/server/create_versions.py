"""What a request to create a container means in the API version that it speaks.

Members that a version did not have yet are dropped, as its engines ignored them; those that change
what is mounted are refused. Source: moby, `docs/api/version-history.md`.
"""

from tiffin.api.types.containers import CreateRequest
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.mounts import MountRequest
from tiffin.api.types.networks import EndpointSettings, NetworkingConfig
from tiffin.api.version import ApiVersion
from tiffin.errors import InvalidArgument

_PREDEFINED_MODES = ("", "default", "bridge", "host", "none")


def adapt(wanted: CreateRequest, version: ApiVersion) -> list[str]:
    """Change the request in place and return warnings; InvalidArgument."""
    host = wanted.host_config = wanted.host_config or HostConfig()
    networking = wanted.networking_config = wanted.networking_config or NetworkingConfig()
    _name_the_default(host, networking)
    _drop(wanted, host, version)
    for mount in host.mounts or ():
        _adapt_mount(mount, version)
    endpoints = networking.endpoints_config or {}
    if version < (1, 44) and len(endpoints) > 1:
        raise InvalidArgument(
            f"Container cannot be created with multiple network endpoints: {', '.join(endpoints)}"
        )
    if version < (1, 48):
        for endpoint in filter(None, endpoints.values()):
            endpoint.gw_priority = 0
    if host.restart_policy.name == "" and host.restart_policy.maximum_retry_count:
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        )
    return [*_volume_driver(host, version), *_mac_address(wanted, host, networking, version)]


def _name_the_default(host: HostConfig, networking: NetworkingConfig) -> None:
    if host.network_mode not in ("", "default"):
        return
    host.network_mode = "bridge"
    endpoints = networking.endpoints_config or {}
    if "default" in endpoints:
        endpoints["bridge"] = endpoints.pop("default")


def _drop(wanted: CreateRequest, host: HostConfig, version: ApiVersion) -> None:
    if version < (1, 25):
        host.auto_remove = False  # the client removes the container
    if version < (1, 40):
        host.kernel_memory_tcp = 0
        host.ipc_mode = host.ipc_mode or "shareable"
    if version < (1, 41):
        host.cgroupns_mode = host.cgroupns_mode or "host"
    if version < (1, 42):
        host.console_size = [0, 0]
    else:
        host.kernel_memory = 0
    if version < (1, 43):
        host.annotations = None
    if version < (1, 44) and wanted.healthcheck is not None:
        wanted.healthcheck.start_interval = 0


def _adapt_mount(mount: MountRequest, version: ApiVersion) -> None:
    bind, volume = mount.bind_options, mount.volume_options
    if version < (1, 40) and bind is not None:
        bind.non_recursive = False
    if version < (1, 42):
        if bind is not None:
            bind.create_mountpoint = False
        if mount.type != "volume":
            mount.volume_options = None
        if mount.type != "tmpfs":
            mount.tmpfs_options = None
    else:
        for options, name, kind in ((volume, "VolumeOptions", "volume"), (bind, "BindOptions",
                                    "bind"), (mount.tmpfs_options, "TmpfsOptions", "tmpfs")):  # fmt: skip
            if options is not None and mount.type != kind:
                raise InvalidArgument(f'{name} must not be specified on mount type "{mount.type}"')
    if version < (1, 44) and mount.type == "bind" and bind and bind.read_only_force_recursive:
        raise InvalidArgument("BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer")
    if version < (1, 45) and volume is not None and volume.subpath:
        raise InvalidArgument("VolumeOptions.Subpath needs API v1.45 or newer")
    if version < (1, 48) and mount.type == "image":
        raise InvalidArgument('Mount type "Image" needs API v1.48 or newer')


def _volume_driver(host: HostConfig, version: ApiVersion) -> list[str]:
    if not host.volume_driver or version < (1, 48):
        return []
    for mount in host.mounts or ():
        driver = mount.volume_options and mount.volume_options.driver_config
        if mount.type == "volume" and not (driver and driver.name):
            return [
                (
                    "WARNING: the container-wide volume-driver configuration is ignored for volumes"
                    " specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead"
                )
            ]
    return []


def _mac_address(
    wanted: CreateRequest, host: HostConfig, networking: NetworkingConfig, version: ApiVersion
) -> list[str]:
    """Move the container's address to the endpoint that it is meant for."""
    mode, address = host.network_mode, wanted.mac_address
    endpoints = networking.endpoints_config or {}
    is_own = mode == "bridge" or not (mode in _PREDEFINED_MODES or mode.startswith("container:"))
    if version < (1, 44):
        if not address:
            for endpoint in filter(None, endpoints.values()):
                endpoint.mac_address = ""
        elif not is_own:
            raise InvalidArgument("conflicting options: mac-address and the network mode")
        else:
            _endpoint(networking, mode, any_one=True).mac_address = address
        return []
    if not address:
        return []
    if is_own:
        endpoint = _endpoint(networking, mode, any_one=False)
        if endpoint.mac_address not in ("", address):
            raise InvalidArgument(
                "the container-wide MAC address must match the endpoint-specific MAC address for"
                " the main network, or be left empty"
            )
        endpoint.mac_address = address
        wanted.mac_address = ""
    return [
        (
            "The container-wide MacAddress field is now deprecated. It should be specified in"
            " EndpointsConfig instead."
        )
    ]


def _endpoint(networking: NetworkingConfig, mode: str, *, any_one: bool) -> EndpointSettings:
    endpoints = networking.endpoints_config = dict(networking.endpoints_config or {})
    name = mode
    if endpoints and mode not in endpoints:
        if not any_one:
            raise InvalidArgument(
                "unable to migrate container-wide MAC address to a specific network:"
                " HostConfig.NetworkMode must match the identity of a network in"
                " NetworkSettings.Networks"
            )
        name = next(iter(endpoints))
    found = endpoints[name] = endpoints.get(name) or EndpointSettings()
    return found
