import pytest

from tiffin.api.types.containers import CreateRequest, HealthConfig
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.mounts import BindOptions, MountRequest, VolumeOptions
from tiffin.api.types.networks import EndpointSettings, NetworkingConfig
from tiffin.api.version import ApiVersion
from tiffin.errors import InvalidArgument
from tiffin.server.create_versions import adapt

OLD, NEW = ApiVersion(1, 24), ApiVersion(1, 50)


def test_old_versions_have_their_own_defaults() -> None:
    wanted = CreateRequest(
        healthcheck=HealthConfig(start_interval=5),
        host_config=HostConfig(
            auto_remove=True,
            annotations={"a": "b"},
            console_size=[1, 2],
            kernel_memory_tcp=5,
            mounts=[
                MountRequest(
                    type="bind",
                    bind_options=BindOptions(create_mountpoint=True, non_recursive=True),
                ),
                MountRequest(type="bind", volume_options=VolumeOptions(no_copy=True)),
            ],
        ),
    )
    assert adapt(wanted, OLD) == []
    host = wanted.host_config
    assert host is not None
    assert host.mounts is not None
    assert (host.network_mode, host.ipc_mode, host.cgroupns_mode) == ("bridge", "shareable", "host")
    assert (host.auto_remove, host.annotations, host.console_size) == (False, None, [0, 0])
    assert host.kernel_memory_tcp == 0
    assert host.mounts[0].bind_options == BindOptions()
    assert host.mounts[1].volume_options is None
    assert wanted.healthcheck == HealthConfig()


def test_the_newest_version_keeps_everything() -> None:
    wanted = CreateRequest(host_config=HostConfig(auto_remove=True, console_size=[1, 2]))
    assert adapt(wanted, NEW) == []
    host = wanted.host_config
    assert host is not None
    assert (host.auto_remove, host.console_size, host.ipc_mode) == (True, [1, 2], "")


@pytest.mark.parametrize(
    ("version", "mount", "message"),
    [
        (NEW, {"type": "bind", "volume_options": VolumeOptions()}, "VolumeOptions must not be"),
        (NEW, {"type": "tmpfs", "bind_options": BindOptions()}, "BindOptions must not be"),
        (
            ApiVersion(1, 43),
            {"type": "bind", "bind_options": BindOptions(read_only_force_recursive=True)},
            "needs API v1.44",
        ),
        (
            ApiVersion(1, 44),
            {"type": "volume", "volume_options": VolumeOptions(subpath="a")},
            "needs API v1.45",
        ),
        (ApiVersion(1, 47), {"type": "image"}, 'Mount type "Image" needs API v1.48'),
    ],
)
def test_mounts_that_a_version_has_not(
    version: ApiVersion, mount: dict[str, object], message: str
) -> None:
    host = HostConfig(mounts=[MountRequest(**mount)])  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=message):
        adapt(CreateRequest(host_config=host), version)


def test_several_endpoints() -> None:
    def wanted() -> CreateRequest:
        both = {"one": EndpointSettings(gw_priority=5), "two": None}
        return CreateRequest(networking_config=NetworkingConfig(endpoints_config=both))

    with pytest.raises(InvalidArgument, match="multiple network endpoints: one, two"):
        adapt(wanted(), ApiVersion(1, 43))
    request = wanted()
    adapt(request, ApiVersion(1, 47))
    assert request.networking_config is not None
    assert request.networking_config.endpoints_config["one"] == EndpointSettings()


@pytest.mark.parametrize("version", [ApiVersion(1, 43), NEW])
def test_the_address_of_a_container_is_its_endpoints(version: ApiVersion) -> None:
    address = "02:42:ac:11:00:09"
    wanted = CreateRequest(mac_address=address)
    warnings = adapt(wanted, version)
    assert bool(warnings) == (version is NEW)
    assert wanted.networking_config is not None
    endpoint = wanted.networking_config.endpoints_config["bridge"]
    assert endpoint is not None
    assert endpoint.mac_address == address
    with pytest.raises(InvalidArgument, match=r"mac-address|must match"):
        adapt(
            CreateRequest(
                mac_address=address,
                host_config=HostConfig(network_mode="host" if version is not NEW else "net"),
                networking_config=NetworkingConfig(
                    endpoints_config={"net": EndpointSettings(mac_address="02:42:ac:11:00:01")}
                ),
            ),
            version,
        )
