"""Use-cases of networks with a kernel that takes everything."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tiffin.api.filters import Filters
from tiffin.api.types.networks import (
    IPAM,
    ConfigReference,
    EndpointIPAMConfig,
    EndpointSettings,
    IPAMConfig,
    NetworkCreateRequest,
    PortBinding,
)
from tiffin.engine.networks import connect as connecting
from tiffin.engine.networks import lifecycle, listing, removal, render
from tiffin.engine.networks.allocate import allocate
from tiffin.engine.networks.context import Context
from tiffin.engine.networks.contract import Allocation, ContainerNetworks
from tiffin.engine.networks.create import create
from tiffin.engine.networks.names_files import NamesFiles
from tiffin.engine.networks.options import NetworkOptions
from tiffin.engine.networks.predefined import ensure_predefined
from tiffin.engine.networks.registry import Registry
from tiffin.engine.networks.wishes import endpoint_wishes
from tiffin.engine.roots import Roots
from tiffin.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    TiffinError,
)
from tiffin.linux.netlink import Channel
from tiffin.networks.bridge import BridgeDriver
from tiffin.networks.bridge_options import OPTION_MTU
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox
from tiffin.networks.firewall import Firewall
from tiffin.networks.host import HostDriver
from tiffin.networks.host_ports import HostPorts
from tiffin.networks.ipam_local import LocalIpam
from tiffin.networks.null import NullDriver
from tiffin.spec.ids import ContainerId, new_id
from tiffin.state.database import Database
from tiffin.state.networks import NetworkRecord, NetworkRepository


class SilentKernel:
    """A netlink channel that does nothing and has nothing."""

    def execute(self, *_arguments: object, **_named: object) -> None:
        pass

    def dump(self, *_arguments: object) -> list[object]:
        return []

    def get(self, *_arguments: object) -> object:
        raise OSError(19, "No such device")


class PaperDriver:
    """A bridge driver that keeps notes."""

    name = "bridge"

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.failing = ""

    def create(self, network: NetworkSpec) -> None:
        self._note("create", network.name)

    def delete(self, network: NetworkSpec) -> None:
        self._note("delete", network.name)

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        self._note("attach", network.name)

    def detach(
        self, network: NetworkSpec, endpoint: EndpointSpec, *, sandbox_ends: bool = False
    ) -> None:
        self._note("detach", network.name)

    def sweep(self) -> bool:
        return False

    def _note(self, verb: str, name: str) -> None:
        if self.failing == verb:
            raise OSError(28, "No space left on device")
        self.notes.append(f"{verb} {name}")


@pytest.fixture
def driver() -> PaperDriver:
    return PaperDriver()


@pytest.fixture
def context(tmp_path: Path, driver: PaperDriver) -> Context:
    roots = Roots(tmp_path / "data", tmp_path / "exec")
    channel = cast("Channel", SilentKernel())
    context = Context(
        roots=roots,
        options=NetworkOptions(),
        registry=Registry(NetworkRepository(Database(":memory:"))),
        names=NamesFiles(roots.networks),
        channel=channel,
        firewall=Firewall("t", channel),
        bridges=BridgeDriver("t", channel, Firewall("t", channel)),
        drivers={"bridge": driver, "host": HostDriver(), "null": NullDriver()},
        ipam=LocalIpam(),
        host_ports=HostPorts(),
    )
    context.names.keep_only([])
    ensure_predefined(context)
    return context


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    one, other = socket.socketpair()
    with one, other:
        yield Sandbox(-1, one, other)


def make(context: Context, name: str, **wanted: object) -> NetworkRecord:
    return create(context, NetworkCreateRequest(name=name, **wanted))  # type: ignore[arg-type]


def container(name: str = "web", mode: str = "default", **wanted: object) -> ContainerNetworks:
    return ContainerNetworks(
        ContainerId(new_id()),
        name,
        hostname=name,
        network_mode=mode,
        **wanted,  # type: ignore[arg-type]
    )


def fixed(subnet: str, **parts: str) -> IPAM:
    return IPAM(config=[IPAMConfig(subnet=subnet, **parts)])  # type: ignore[arg-type]


def test_the_predefined_networks(context: Context) -> None:
    listed = {n.name: n.driver for n in context.registry.networks()}
    assert listed == {"host": "host", "none": "null", "bridge": "bridge"}
    before = context.registry.networks()
    ensure_predefined(context)
    assert context.registry.networks() == before
    default = context.registry.find("bridge")
    assert default.pools[0].subnet == "172.17.0.0/16"
    assert default.options["com.docker.network.bridge.name"] == f"{context.roots.tag}0"


def test_the_default_bridge_follows_the_configuration(context: Context) -> None:
    def configured(**options: object) -> NetworkRecord:
        ensure_predefined(replace(context, options=NetworkOptions(**options)))  # type: ignore[arg-type]
        return context.registry.find("bridge")

    chosen = configured()
    placed = configured(bip="10.9.0.5/24", fixed_cidr="10.9.0.128/25", icc=False)
    assert placed.id == chosen.id
    assert (placed.pools[0].subnet, placed.pools[0].gateway) == ("10.9.0.0/24", "10.9.0.5")
    assert allocate(context, container()).settings.ip_address == "10.9.0.128"
    assert configured(bip="10.9.0.5/24", fixed_cidr="10.9.0.128/25") != placed
    # A container is on it: another place has to wait.
    assert configured(bip="10.8.0.5/24").pools == placed.pools
    lifecycle.release(context, context.registry.endpoints()[0].container)
    assert configured(bip="10.8.0.5/24").pools[0].subnet == "10.8.0.0/24"
    assert configured(bip="10.8.0.5/24", ipv6=True).pools[1].subnet.startswith("fd")
    configured(bip="10.8.0.5/24")
    ensure_predefined(replace(context, options=NetworkOptions(bridge="none")))
    assert context.registry.by_name("bridge") is None
    for wrong in ({"bip": "nonsense"}, {"bridge": "br-by-hand"}):
        with pytest.raises(InvalidArgument):
            configured(**wrong)


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"name": ""}, InvalidArgument, "name is empty"),
        ({"name": "a/b"}, InvalidArgument, "it has slashes"),
        ({"name": "bridge"}, PermissionDenied, "operation is not permitted on predefined bridge network "),
        ({"name": "shop"}, AlreadyExists, "network with name shop already exists"),
        ({"name": "n", "driver": "magic"}, NotFound, 'plugin "magic" not found'),
        ({"name": "n", "driver": "host"}, PermissionDenied,
         'only one instance of "host" network is allowed'),
        ({"name": "n", "driver": "overlay"}, PermissionDenied, "not a swarm manager"),
        ({"name": "n", "ipam": fixed("10.0.0.9/24")}, InvalidArgument,
         "invalid network config:\ninvalid subnet 10.0.0.9/24: it should be 10.0.0.0/24"),
        ({"name": "n", "ipam": fixed("nonsense")}, InvalidArgument, "invalid subnet nonsense"),
        ({"name": "n", "ipam": fixed("10.0.0.0/24", gateway="10.1.0.1")}, InvalidArgument,
         "invalid gateway 10.1.0.1: parent subnet is 10.0.0.0/24"),
        ({"name": "n", "ipam": fixed("10.0.0.0/24", gateway="fd00::1")}, InvalidArgument, "address family"),
        ({"name": "n", "ipam": IPAM(config=[IPAMConfig(subnet=f"10.{i}.0.0/24") for i in (5, 6)])},
         PermissionDenied, "bridge driver doesn't support multiple subnets"),
        ({"name": "n", "ipam": fixed("", gateway="10.0.0.1")}, InvalidArgument, "without a subnet"),
        ({"name": "n", "ipam": fixed("172.17.5.0/24")}, PermissionDenied, "Pool overlaps"),
        ({"name": "n", "ipam": IPAM(driver="dhcp")}, NotFound, 'plugin "dhcp" not found'),
        ({"name": "n", "enable_ipv4": False}, InvalidArgument, "IPv4 or IPv6 must be enabled"),
        ({"name": "n", "options": {"com.docker.network.driver.mtu": "much"}}, InvalidArgument,
         "invalid MTU"),
        ({"name": "n", "options": {"com.docker.network.bridge.enable_icc": "maybe"}}, InvalidArgument,
         "invalid boolean"),
        ({"name": "n", "config_from": ConfigReference(network="gone")}, NotFound, "network gone not found"),
        ({"name": "n", "config_from": ConfigReference(network="shop")}, PermissionDenied,
         "not a configuration-only network"),
    ],
)  # fmt: skip
def test_networks_that_cannot_be(
    context: Context, request_: dict[str, object], error: type[TiffinError], message: str
) -> None:
    make(context, "shop")
    before = context.registry.networks()
    with pytest.raises(error) as caught:
        make(context, **request_)  # type: ignore[arg-type]
    assert message in caught.value.message
    assert context.registry.networks() == before


def test_a_network_that_the_kernel_refuses_leaves_nothing(
    context: Context, driver: PaperDriver
) -> None:
    driver.failing = "create"
    before = context.registry.networks()
    with pytest.raises(FailedPrecondition, match="No space left"):
        make(context, "shop")
    assert context.registry.networks() == before


def test_config_only_networks(context: Context, driver: PaperDriver) -> None:
    make(context, "plan", config_only=True, ipam=fixed("10.9.0.0/24"), labels={"a": "b"})
    assert "create plan" not in driver.notes
    made = make(context, "real", config_from=ConfigReference(network="plan"))
    assert made.pools[0].subnet == "10.9.0.0/24"
    assert made.labels == {"a": "b"}
    with pytest.raises(PermissionDenied, match="is in use by network 'real'"):
        removal.remove(context, "plan")
    with pytest.raises(InvalidArgument, match="cannot be used to run containers"):
        allocate(context, container(mode="plan"))


def test_finding_networks(context: Context) -> None:
    shop = make(context, "shop")
    for reference in ("shop", shop.id, shop.id[:12]):
        assert context.registry.find(reference) == shop
    for reference in ("", "nope", new_id()):
        with pytest.raises(NotFound, match=f"network {reference} not found"):
            context.registry.find(reference)
    others = [make(context, f"n{i}") for i in range(12)]
    starts = {n.id[0] for n in others}
    ambiguous = next(
        s for s in starts if sum(n.id[0] == s for n in context.registry.networks()) > 1
    )
    with pytest.raises(InvalidArgument, match="is ambiguous"):
        context.registry.find(ambiguous)


def test_removal(context: Context, driver: PaperDriver) -> None:
    shop = make(context, "shop")
    for name in ("bridge", "host", "none"):
        with pytest.raises(
            PermissionDenied, match=f"^{name} is a pre-defined network and cannot be removed$"
        ):
            removal.remove(context, name)
    allocation = allocate(context, container(mode="shop"))
    endpoint = allocation.endpoints[0][1]
    with pytest.raises(PermissionDenied) as caught:
        removal.remove(context, "shop")
    assert caught.value.message == (
        f"error while removing network: network shop id {shop.id} has active endpoints"
        f' (name:"web" id:"{endpoint.id[:12]}")'
    )
    lifecycle.release(context, allocation.container)
    driver.failing = "delete"
    with pytest.raises(FailedPrecondition):
        removal.remove(context, "shop")
    driver.failing = ""
    removal.remove(context, "shop")
    assert context.registry.by_name("shop") is None


def test_filters(context: Context) -> None:
    make(context, "shop", labels={"tier": "web"})
    make(context, "office")
    allocate(context, container(mode="office"))

    def names(**filters: list[str]) -> set[str]:
        return {n.name for n in listing.select(context.registry, Filters(filters))}

    assert names() == {"bridge", "host", "none", "shop", "office"}
    assert names(type=["custom"]) == {"shop", "office"}
    assert names(type=["builtin"], driver=["null"]) == {"none"}
    assert names(name=["o"]) == {"host", "none", "shop", "office"}
    assert names(label=["tier=web"]) == {"shop"}
    assert names(dangling=["true"]) == {"shop"}
    assert "office" in names(dangling=["false"])
    assert names(scope=["swarm"]) == set()
    assert names(id=[context.registry.find("shop").id[:8]]) == {"shop"}
    for wrong in ({"type": ["x"]}, {"colour": ["red"]}, {"dangling": ["perhaps"]}):
        with pytest.raises(InvalidArgument):
            names(**wrong)


def test_prune(context: Context) -> None:
    make(context, "shop", labels={"keep": "1"})
    make(context, "office")
    make(context, "idle")
    allocate(context, container(mode="office"))
    pruned = removal.prune(context, listing.prunable(Filters({"label!": ["keep"]}), None))
    assert [n.name for n in pruned] == ["idle"]
    assert removal.prune(context, listing.prunable(Filters({}), 10**18)) == []


def test_default_bridge_allocation(context: Context) -> None:
    wishes = container(exposed_ports=("80/tcp",))
    allocation = allocate(context, wishes)
    settings = allocation.settings
    assert allocation.new_netns
    assert (settings.ip_address, settings.gateway) == ("172.17.0.2", "172.17.0.1")
    assert settings.mac_address == "02:42:ac:11:00:02"
    assert settings.networks["bridge"].dns_names is None
    assert settings.ports == {"80/tcp": None}
    assert settings.sandbox_id
    assert "172.17.0.2\tweb\n" in allocation.hosts
    assert "127.0.0.11" not in allocation.resolv_conf
    assert allocate(context, container("other")).settings.ip_address == "172.17.0.3"
    lifecycle.release(context, wishes.id)
    assert allocate(context, container("third")).settings.ip_address == "172.17.0.2"


def test_host_none_and_container(context: Context) -> None:
    host = allocate(context, container(mode="host"))
    assert not host.new_netns
    assert host.hostname == "web"
    assert host.settings.networks["host"].network_id == context.registry.find("host").id
    none = allocate(context, container(mode="none"))
    assert none.new_netns
    assert none.dns is None
    shared = allocate(context, container(mode=f"container:{new_id()}"))
    assert (shared.new_netns, shared.endpoints, shared.hosts) == (False, (), "")


def test_several_networks_and_their_order(context: Context) -> None:
    for name in ("alpha", "beta", "gamma"):
        make(context, name)
    make(context, "inner", internal=True)
    allocation = allocate(
        context,
        container(
            mode="beta",
            endpoints={
                "alpha": None,
                "beta": EndpointSettings(aliases=["b"]),
                "gamma": EndpointSettings(gw_priority=5),
                "inner": None,
            },
        ),
    )
    shown = [(n.name, e.interface_name, bool(e.gateway4)) for n, e in allocation.endpoints]
    assert shown == [
        ("beta", "eth0", False),
        ("gamma", "eth1", True),
        ("alpha", "eth2", False),
        ("inner", "eth3", False),
    ]
    assert allocation.settings.networks["inner"].gateway == ""
    assert allocation.settings.networks["beta"].dns_names == ["web", "b", allocation.container[:12]]
    assert allocation.resolv_conf.startswith("nameserver 127.0.0.11")


def requested(address: str) -> dict[str, EndpointSettings]:
    return {"fixed": EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address=address))}


def test_requested_addresses(context: Context) -> None:
    make(context, "fixed", ipam=fixed("10.9.0.0/24"))
    make(context, "chosen")
    got = allocate(context, container(mode="fixed", endpoints=requested("10.9.0.77")))
    assert got.settings.networks["fixed"].ip_address == "10.9.0.77"
    assert got.settings.networks["fixed"].mac_address == "02:42:0a:09:00:4d"
    for network, address, error in (
        ("fixed", "10.9.0.77", "Address already in use"),
        ("fixed", "10.8.0.1", "10.8.0.1"),
        ("fixed", "nonsense", "invalid IPv4 address"),
        ("chosen", "172.19.0.9", "user configured subnets"),
        ("bridge", "172.17.0.9", "user defined networks only"),
    ):
        endpoints = {network: requested(address)["fixed"]}
        with pytest.raises(TiffinError, match=error):
            allocate(context, container("other", network, endpoints=endpoints))
    assert len(context.registry.endpoints()) == 1


def test_interface_and_mac_of_choice(context: Context) -> None:
    endpoints = {
        "bridge": EndpointSettings(
            mac_address="02:42:00:00:00:07",
            driver_opts={"com.docker.network.endpoint.ifname": "wan"},
        )
    }
    allocation = allocate(context, container(endpoints=endpoints))
    assert allocation.endpoints[0][1].interface_name == "wan"
    assert allocation.settings.mac_address == "02:42:00:00:00:07"


def test_names_of_interfaces_that_others_want(context: Context) -> None:
    for name in ("alpha", "beta"):
        create(context, NetworkCreateRequest(name=name))
    ifname = {"com.docker.network.endpoint.ifname": "eth0"}
    # Networks that are named replace the default one.
    endpoints = {"alpha": EndpointSettings(), "beta": EndpointSettings(driver_opts=ifname)}
    allocation = allocate(context, container(endpoints=endpoints))
    named = {network.name: made.interface_name for network, made in allocation.endpoints}
    assert named == {"alpha": "eth1", "beta": "eth0"}
    endpoints["alpha"] = EndpointSettings(driver_opts=ifname)
    with pytest.raises(FailedPrecondition, match='error renaming interface to "eth0": file exists'):
        allocate(context, container("twice", endpoints=endpoints))


@pytest.mark.parametrize("mode", ["default", "bridge"])
def test_without_a_default_bridge(context: Context, mode: str) -> None:
    context = replace(context, options=NetworkOptions(bridge="none"))
    ensure_predefined(context)
    allocation = allocate(context, container("web", mode))
    assert [network.name for network, _ in allocation.endpoints] == ["none"]
    create(context, NetworkCreateRequest(name="shop"))
    wanted: dict[str, EndpointSettings | None] = {"default": None, "shop": None}
    allocation = allocate(context, container("web", mode, endpoints=wanted))
    assert [network.name for network, _ in allocation.endpoints] == ["shop"]


def test_options_that_new_networks_get(context: Context) -> None:
    given = {"bridge": {OPTION_MTU: "1234", "com.docker.network.enable_ipv6": "true"}}
    context = replace(context, options=NetworkOptions(network_options=given))
    made = create(context, NetworkCreateRequest(name="one"))
    assert (made.options, made.ipv6) == (given["bridge"], True)
    request = NetworkCreateRequest(name="two", enable_ipv6=False, options={OPTION_MTU: "1300"})
    made = create(context, request)
    assert (made.options, made.ipv6) == ({OPTION_MTU: "1300"}, False)
    wrong = {"com.docker.network.enable_ipv4": "maybe"}
    with pytest.raises(InvalidArgument, match="is not a valid bool"):
        create(context, NetworkCreateRequest(name="three", options=wrong))


def test_an_ipvlan_that_routes_by_itself(context: Context, driver: PaperDriver) -> None:
    context = replace(context, drivers={**context.drivers, "ipvlan": driver})
    options = {"parent": "eth7", "ipvlan_mode": "l3"}
    made = create(context, NetworkCreateRequest(name="wire", driver="ipvlan", options=options))
    assert [pool.gateway for pool in made.pools] == [""]
    allocation = allocate(context, container("web", "wire"))
    endpoint = allocation.endpoints[0][1]
    assert (endpoint.gateway4, endpoint.mac_address) == ("0.0.0.0", "")
    assert allocation.settings.networks["wire"].gateway == ""
    wrong = {**options, "ipvlan_mode": "l4"}
    with pytest.raises(InvalidArgument, match="requested ipvlan mode 'l4' is not valid"):
        create(context, NetworkCreateRequest(name="two", driver="ipvlan", options=wrong))


def test_unknown_networks_and_links(context: Context) -> None:
    with pytest.raises(NotFound, match="network nope not found"):
        allocate(context, container(mode="nope"))
    with pytest.raises(Conflict, match="Cannot link to a non running container: /db AS /web/sql"):
        allocate(context, container(links=("db:sql",)))
    assert context.registry.endpoints() == []
    make(context, "shop")
    elsewhere = allocate(context, container("db", "shop"))
    with pytest.raises(InvalidArgument, match="Cannot link to /db, as it does not belong to the"):
        allocate(context, container(links=("db:sql",)))
    lifecycle.release(context, elsewhere.container)
    database = allocate(context, container("db"))
    linked = allocate(context, container(links=("db:sql",)))
    assert f"172.17.0.2\tsql {database.container[:12]} db\n" in linked.hosts


def free_port() -> int:
    with socket.create_server(("0.0.0.0", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def test_a_taken_port_keeps_nothing(context: Context) -> None:
    port = free_port()
    bindings = {"80/tcp": [PortBinding(host_port=str(port))]}
    first = allocate(context, container(port_bindings=bindings))
    assert {f.target_port for f in first.forwards} == {80}
    with pytest.raises(FailedPrecondition) as caught:
        allocate(context, container("other", port_bindings=bindings))
    assert caught.value.message.startswith(
        "failed to set up container networking: driver failed programming external connectivity"
        " on endpoint other ("
    )
    assert caught.value.message.endswith(
        f"Bind for 0.0.0.0:{port} failed: port is already allocated"
    )
    assert len(context.registry.endpoints()) == 1
    first.close()


def test_connections_of_a_stopped_container(context: Context) -> None:
    shop, office = make(context, "shop"), make(context, "office")
    wishes = container(mode="shop")
    connecting.connect(context, "office", wishes, EndpointSettings(aliases=["desk"]), None)
    assert list(endpoint_wishes(wishes, context.registry)) == ["shop", "office"]
    with pytest.raises(PermissionDenied, match="already exists in network office"):
        connecting.connect(context, office.id, wishes, None, None)
    # As docker-compose 1 does: off its main network and on again with aliases.
    connecting.disconnect(context, "shop", wishes, None)
    with pytest.raises(PermissionDenied, match="is not connected to network shop"):
        connecting.disconnect(context, "shop", wishes, None)
    connecting.connect(context, shop.id, wishes, EndpointSettings(aliases=["store"]), None)
    settings = render.settings(wishes, endpoint_wishes(wishes, context.registry), context.registry)
    assert settings.networks["shop"].aliases == ["store"]
    assert settings.networks["office"].network_id == office.id
    connecting.disconnect(context, "shop", wishes, None)
    connecting.disconnect(context, "office", wishes, None)
    alone = allocate(context, wishes)
    assert alone.new_netns
    assert alone.endpoints == ()


@pytest.mark.parametrize(
    ("mode", "network"),
    [
        ("host", "shop"),
        ("none", "shop"),
        ("container:x", "shop"),
        ("bridge", "host"),
        ("bridge", "none"),
    ],
)
def test_connections_that_cannot_be(context: Context, mode: str, network: str) -> None:
    make(context, "shop")
    with pytest.raises(PermissionDenied):
        connecting.connect(context, network, container(mode=mode), None, None)


def test_a_failed_live_connection_leaves_nothing(
    context: Context, driver: PaperDriver, sandbox: Sandbox
) -> None:
    make(context, "shop")
    make(context, "office")
    wishes = container(mode="shop")
    allocate(context, wishes)
    driver.failing = "attach"
    with pytest.raises(
        FailedPrecondition, match="failed to connect container web to network office"
    ):
        connecting.connect(context, "office", wishes, None, sandbox)
    assert list(endpoint_wishes(wishes, context.registry)) == ["shop"]
    assert len(context.registry.endpoints_of(wishes.id)) == 1


def test_everything_survives_a_new_registry(tmp_path: Path) -> None:
    database = Database(tmp_path / "state.db")
    registry = Registry(NetworkRepository(database))
    network = NetworkRecord("a" * 64, "shop", "2026-01-01T00:00:00.000000000Z", "bridge")
    registry.put_network(network)
    database.close()
    assert Registry(NetworkRepository(Database(tmp_path / "state.db"))).networks() == [network]


def test_an_allocation_can_be_closed_once_more_by_nobody(context: Context) -> None:
    allocation: Allocation = allocate(context, container())
    allocation.close()
    assert allocation.forwards == ()
