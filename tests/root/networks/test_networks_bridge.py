"""Bridges, ports and rules on the real kernel, in a host of the test's own."""

import asyncio
import itertools
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tiffin.api.filters import Filters
from tiffin.api.types.networks import (
    IPAM,
    EndpointIPAMConfig,
    EndpointSettings,
    IPAMConfig,
    NetworkCreateRequest,
    PortBinding,
)
from tiffin.engine.events import Events
from tiffin.engine.networks.contract import Allocation, ConnectTarget
from tiffin.engine.networks.records import network_spec
from tiffin.engine.networks.service import ContainerNetworks, NetworkOptions, Networks
from tiffin.engine.roots import Roots
from tiffin.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tiffin.linux import nftables, rtnetlink
from tiffin.linux.netlink import Channel
from tiffin.networks.driver import Sandbox
from tiffin.networks.firewall import BRIDGES, FAMILIES
from tiffin.spec.ids import ContainerId, EndpointId, new_id
from tiffin.state.database import Database
from tiffin.testing.network_lab import (
    HOST_ADDRESS,
    OUTSIDE_ADDRESS,
    Host,
    Namespace,
    ask,
    in_new_host,
    is_reachable,
)
from tiffin.wire.names import Names

pytestmark = pytest.mark.root

UDP = socket.SOCK_DGRAM
OPTIONS = NetworkOptions(address_pools=(("10.213.0.0/16", 24), ("fd00:213::/48", 64)))


@dataclass
class Up:
    """A container that is up."""

    id: ContainerId
    namespace: Namespace
    allocation: Allocation
    wishes: ContainerNetworks

    @property
    def ip(self) -> str:
        return next(
            e.ip_address for e in self.allocation.settings.networks.values() if e.ip_address
        )

    @property
    def ip6(self) -> str:
        return next(
            e.global_ipv6_address
            for e in self.allocation.settings.networks.values()
            if e.global_ipv6_address
        )


class Engine:
    """Networks with a state of their own, driven without a running loop."""

    def __init__(
        self, host: Host, *, directory: Path | None = None, options: NetworkOptions = OPTIONS
    ) -> None:
        self.host = host
        self.directory = directory or Path(
            tempfile.mkdtemp(prefix="tiffin-networks-", dir="/dev/shm")
        )
        host.stack.callback(subprocess.run, ["rm", "-rf", str(self.directory)], check=True)
        self.roots = Roots(self.directory / "data", self.directory / "exec")
        self.roots.data.mkdir(parents=True, exist_ok=True)
        self.events = Events()
        self.database = Database(self.roots.database)
        self.networks = Networks(self.roots, self.database, self.events, options)
        asyncio.run(self.networks.recover())

    def create(self, name: str, **wanted: object) -> str:
        request = NetworkCreateRequest(name=name, **wanted)  # type: ignore[arg-type]
        return asyncio.run(self.networks.create(request)).id

    def allocate(
        self, name: str, network: str = "default", **wanted: object
    ) -> tuple[ContainerNetworks, Allocation]:
        wishes = ContainerNetworks(
            ContainerId(new_id()),
            name,
            hostname=name,
            network_mode=network,
            **wanted,  # type: ignore[arg-type]
        )
        return wishes, asyncio.run(self.networks.allocate(wishes))

    def up(
        self,
        name: str,
        network: str = "default",
        *,
        dns: tuple[int, int] = (0, 0),
        **wanted: object,
    ) -> Up:
        wishes, allocation = self.allocate(name, network, **wanted)
        namespace = self.host.namespace()
        asyncio.run(self.networks.plug(allocation, namespace.sandbox(*dns)))
        return Up(wishes.id, namespace, allocation, wishes)

    def down(self, container: Up) -> None:
        asyncio.run(self.networks.release(container.id))
        container.allocation.close()

    def target(self, container: Up) -> ConnectTarget:
        async def open_sandbox() -> Sandbox:
            inside = container.namespace
            return Sandbox(
                os.dup(inside.netns), inside.rtnetlink.dup(), inside.nfnetlink.dup(), 5300, 5301
            )

        return ConnectTarget(container.wishes, open_sandbox)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what the kernel does in its own time."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)


def published(*ports: str) -> dict[str, list[PortBinding]]:
    """`8080:80/tcp`, `127.0.0.1:8080:80/udp`."""
    bindings: dict[str, list[PortBinding]] = {}
    for text in ports:
        host, container = text.rsplit(":", 1)
        address, _, port = host.rpartition(":")
        bindings.setdefault(container, []).append(PortBinding(host_ip=address, host_port=port))
    return bindings


@in_new_host
def test_containers_reach_each_other_the_host_and_the_outside(host: Host) -> None:
    engine = Engine(host)
    one, other = engine.up("one"), engine.up("other")
    host.serve(other.namespace, "0.0.0.0", 80)
    host.serve(None, HOST_ADDRESS, 81)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    assert ask(one.namespace, other.ip, 80) == one.ip
    assert ask(one.namespace, HOST_ADDRESS, 81) == one.ip
    assert ask(one.namespace, OUTSIDE_ADDRESS, 82) == HOST_ADDRESS
    assert one.ip == "10.213.0.2"


@in_new_host
def test_published_ports_from_everywhere(host: Host) -> None:
    engine = Engine(host)
    web = engine.up("web", port_bindings=published(":8080:80/tcp", ":5353:53/udp"))
    host.serve(web.namespace, "0.0.0.0", 80)
    host.serve(web.namespace, "0.0.0.0", 53, kind=UDP)
    for address in ("127.0.0.1", "127.1.2.3", HOST_ADDRESS, "10.213.0.1"):
        assert ask(None, address, 8080)
        assert ask(None, address, 5353, kind=UDP)
    assert ask(host.outside, HOST_ADDRESS, 8080) == OUTSIDE_ADDRESS
    assert ask(host.outside, HOST_ADDRESS, 5353, kind=UDP) == OUTSIDE_ADDRESS
    # Hairpin: the container by its own published port, and its neighbour.
    assert ask(web.namespace, HOST_ADDRESS, 8080)
    assert ask(engine.up("neighbour").namespace, HOST_ADDRESS, 8080)
    # From another network a published port is reached as from outside.
    engine.create("apart")
    assert ask(engine.up("far", "apart").namespace, HOST_ADDRESS, 8080)
    assert {(f.protocol, f.target_ip, f.target_port) for f in web.allocation.forwards} == {
        ("tcp", web.ip, 80),
        ("udp", web.ip, 53),
    }
    assert {b.host_port for b in web.allocation.settings.ports["80/tcp"] or ()} == {"8080"}
    engine.down(web)
    assert not is_reachable(host.outside, HOST_ADDRESS, 8080)


@in_new_host
def test_a_port_of_one_address_is_not_on_the_others(host: Host) -> None:
    engine = Engine(host)
    web = engine.up("web", port_bindings=published("127.0.0.1:8080:80/tcp"))
    host.serve(web.namespace, "0.0.0.0", 80)
    assert ask(None, "127.0.0.1", 8080)
    assert not is_reachable(host.outside, HOST_ADDRESS, 8080)
    assert not is_reachable(None, HOST_ADDRESS, 8080)


@in_new_host
def test_the_loopback_of_the_host_stays_its_own(host: Host) -> None:
    engine = Engine(host)
    web = engine.up("web", port_bindings=published("127.0.0.1:8080:80/tcp"))
    host.serve(web.namespace, "0.0.0.0", 80)
    host.serve(None, "127.0.0.1", 99)
    evil = engine.up("evil")
    evil.namespace.call(
        lambda: subprocess.run(
            "ip route add 127.0.0.1/32 via 10.213.0.1 table 7; ip rule add to 127.0.0.1 pref 0 table 7;"
            "ip rule add pref 1 table local; ip rule del pref 0 table local;"
            "sysctl -qw net.ipv4.conf.all.route_localnet=1",
            shell=True, check=False, capture_output=True,
        )
    )  # fmt: skip
    assert not is_reachable(evil.namespace, "127.0.0.1", 99)
    # A neighbour on the wire sends to 127.0.0.1 through our address.
    host.outside.call(
        lambda: subprocess.run(
            "ip route add 127.0.0.1/32 via 203.0.113.2 table 7; ip rule add to 127.0.0.1 pref 0 table 7;"
            "ip rule add pref 1 table local; ip rule del pref 0 table local;"
            "sysctl -qw net.ipv4.conf.all.route_localnet=1",
            shell=True, check=False, capture_output=True,
        )
    )  # fmt: skip
    assert not is_reachable(host.outside, "127.0.0.1", 8080)


@in_new_host
def test_networks_are_apart_and_unpublished_ports_closed(host: Host) -> None:
    engine = Engine(host)
    engine.create("red")
    engine.create("blue")
    red, blue = engine.up("a", "red"), engine.up("b", "blue")
    host.serve(blue.namespace, "0.0.0.0", 80)
    assert not is_reachable(red.namespace, blue.ip, 80)
    assert ask(None, blue.ip, 80)
    host.outside.call(
        lambda: subprocess.run(
            ["ip", "route", "add", "10.213.0.0/16", "via", HOST_ADDRESS], check=True
        )
    )
    assert not is_reachable(host.outside, blue.ip, 80)


@in_new_host
def test_internal_networks_lead_nowhere(host: Host) -> None:
    engine = Engine(host)
    engine.create("inner", internal=True)
    one, other = engine.up("one", "inner"), engine.up("other", "inner")
    host.serve(other.namespace, "0.0.0.0", 80)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    assert ask(one.namespace, other.ip, 80) == one.ip
    assert not is_reachable(one.namespace, OUTSIDE_ADDRESS, 82)
    assert one.allocation.dns is not None
    assert one.allocation.dns.upstreams == ()


@in_new_host
def test_without_icc_only_published_ports_connect(host: Host) -> None:
    engine = Engine(host)
    engine.create("shy", options={"com.docker.network.bridge.enable_icc": "false"})
    one = engine.up("one", "shy")
    other = engine.up("other", "shy", port_bindings=published(":8080:80/tcp"))
    host.serve(other.namespace, "0.0.0.0", 80)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    assert not is_reachable(one.namespace, other.ip, 80)
    assert ask(one.namespace, HOST_ADDRESS, 8080)
    assert ask(one.namespace, OUTSIDE_ADDRESS, 82)


@in_new_host
def test_ipv6(host: Host) -> None:
    engine = Engine(host)
    engine.create("six", enable_ipv6=True)
    one = engine.up("one", "six", port_bindings=published(":8080:80/tcp"))
    other = engine.up("other", "six")
    host.serve(one.namespace, "::", 80)
    assert ask(other.namespace, one.ip6, 80) == other.ip6
    host.rt.execute([])
    subprocess.run("ip -6 addr add fd00:99::2/64 dev eth0 nodad", shell=True, check=True)
    host.outside.call(
        lambda: subprocess.run(
            "ip -6 addr add fd00:99::1/64 dev uplink nodad", shell=True, check=True
        )
    )
    assert ask(host.outside, "fd00:99::2", 8080) == "fd00:99::1"
    targets = {f.target_ip for f in one.allocation.forwards}
    assert targets == {one.ip, one.ip6}


@in_new_host
def test_gateway_modes(host: Host) -> None:
    engine = Engine(host)
    mode = "com.docker.network.bridge.gateway_mode_ipv4"
    trusted = {"com.docker.network.bridge.trusted_host_interfaces": "lan0:eth0"}
    source = {"com.docker.network.host_ipv4": "192.0.2.7"}
    for name, options in (
        ("nat", {mode: "nat"}),
        ("unprotected", {mode: "nat-unprotected"}),
        ("routed", {mode: "routed"}),
        ("trusted", trusted),
        ("sourced", source),
    ):
        engine.create(name, options=options)
    made = {
        name: engine.up(name, name, port_bindings=published(f":{8080 + i}:80/tcp"))
        for i, name in enumerate(("nat", "unprotected", "routed", "trusted"))
    }
    for up in made.values():
        for port in (80, 81):
            host.serve(up.namespace, "0.0.0.0", port)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    route = (
        f"ip route add 10.213.0.0/16 via {HOST_ADDRESS}; ip route add 192.0.2.7 via {HOST_ADDRESS}"
    )
    host.outside.call(lambda: subprocess.run(route, shell=True, check=True))
    reached = {
        name: [port for port in (80, 81) if is_reachable(host.outside, up.ip, port)]
        for name, up in made.items()
    }
    assert reached == {"nat": [], "unprotected": [80, 81], "routed": [80], "trusted": [80]}
    assert ask(host.outside, HOST_ADDRESS, 8081) == OUTSIDE_ADDRESS
    assert not is_reachable(host.outside, HOST_ADDRESS, 8082)
    shown = made["routed"].allocation.settings.ports["80/tcp"] or []
    assert ("0.0.0.0", "") in [(binding.host_ip, binding.host_port) for binding in shown]
    assert ask(made["nat"].namespace, OUTSIDE_ADDRESS, 82) == HOST_ADDRESS
    assert ask(made["routed"].namespace, OUTSIDE_ADDRESS, 82) == made["routed"].ip
    assert ask(engine.up("s", "sourced").namespace, OUTSIDE_ADDRESS, 82) == "192.0.2.7"
    for up in made.values():
        engine.down(up)
    assert not nftables.dump_elements(host.nf, engine.roots.tag, FAMILIES[4].open)


@in_new_host
def test_networks_that_the_host_has_no_address_on(host: Host) -> None:
    engine = Engine(host)
    modes = {f"com.docker.network.bridge.gateway_mode_ipv{v}": "isolated" for v in (4, 6)}
    with pytest.raises(InvalidArgument, match="'isolated' can only be used for an internal"):
        engine.create("open", options=modes)
    pair = IPAM(config=[IPAMConfig(subnet="10.213.9.0/31")])
    name = {"com.docker.network.bridge.name": "lonely"}
    engine.create("lonely", internal=True, enable_ipv6=True, ipam=pair, options={**modes, **name})
    found = rtnetlink.find_link(host.rt, "lonely")
    assert found is not None
    assert not [a for index, a in rtnetlink.dump_addresses(host.rt) if index == found.index]
    one, other = (engine.up(text, "lonely") for text in ("one", "other"))
    assert {one.ip, other.ip} == {"10.213.9.0", "10.213.9.1"}
    host.serve(one.namespace, "0.0.0.0", 80)
    assert ask(other.namespace, one.ip, 80) == other.ip
    shown = asyncio.run(engine.networks.inspect("lonely"))
    assert [config.gateway for config in shown.ipam.config] == ["", ""]


@in_new_host
def test_an_ipv4_container_behind_an_ipv6_port_is_for_the_shim(host: Host) -> None:
    engine = Engine(host)
    web = engine.up("web", port_bindings=published(":8080:80/tcp"))
    assert sorted(f.target_ip for f in web.allocation.forwards) == [web.ip, web.ip]
    hosts = {b.host_ip for b in web.allocation.settings.ports["80/tcp"] or ()}
    assert hosts == {"0.0.0.0", "::"}
    # The socket is listening: a client of ::1 gets a connection (which the shim will serve).
    with socket.create_connection(("::1", 8080), timeout=1):
        pass


@in_new_host
def test_ports_are_reserved(host: Host) -> None:
    engine = Engine(host)
    engine.up("web", port_bindings=published(":8080:80/tcp"))
    with pytest.raises(
        FailedPrecondition, match=r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated"
    ):
        engine.up("again", port_bindings=published(":8080:80/tcp"))
    with pytest.raises(FailedPrecondition, match=r"port is already allocated"):
        engine.up("again", port_bindings=published("127.0.0.1:8080:80/tcp"))
    with socket.create_server(("0.0.0.0", 9090)):
        with pytest.raises(FailedPrecondition, match="address already in use"):
            engine.up("again", port_bindings=published(":9090:80/tcp"))
    assert not [link for link in host.links() if "again" in link]
    engine.up("other", port_bindings=published(":9090:80/tcp"))
    automatic = engine.up("automatic", publish_all=True, exposed_ports=("80/tcp",))
    port = int((automatic.allocation.settings.ports["80/tcp"] or [])[0].host_port)
    assert 32768 <= port <= 60999


@in_new_host
def test_a_large_range_is_one_element(host: Host) -> None:
    engine = Engine(host)
    bindings = {
        f"{port}/tcp": [PortBinding(host_ip="0.0.0.0", host_port=str(port))]
        for port in range(20000, 21000)
    }
    web = engine.up("web", port_bindings=bindings)
    host.serve(web.namespace, "0.0.0.0", 20500)
    assert ask(None, "127.0.0.1", 20500)
    assert ask(host.outside, HOST_ADDRESS, 20500) == OUTSIDE_ADDRESS
    shown = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    assert f"tcp . 0.0.0.0/0 . 20000-20999 : {web.ip}" in shown.stdout
    assert len(web.allocation.settings.ports) == 1000


@in_new_host
def test_dns_reaches_the_shims_sockets(host: Host) -> None:
    engine = Engine(host)
    engine.create("shop")
    namespace = host.namespace()
    wishes, allocation = engine.allocate("web", "shop")
    udp = namespace.socket(socket.AF_INET, UDP)
    tcp = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    assert allocation.resolv_conf.startswith("nameserver 127.0.0.11\n")
    Channel(namespace.rtnetlink).execute([rtnetlink.set_link(1, up=True)])
    udp.bind(("127.0.0.11", 0))
    tcp.bind(("127.0.0.11", 0))
    tcp.listen()
    asyncio.run(
        engine.networks.plug(
            allocation, namespace.sandbox(udp.getsockname()[1], tcp.getsockname()[1])
        )
    )
    client = namespace.socket(socket.AF_INET, UDP)
    client.settimeout(2)
    client.connect(("127.0.0.11", 53))
    client.send(b"question")
    data, peer = udp.recvfrom(100)
    assert data == b"question"
    udp.sendto(b"answer", peer)
    assert client.recv(100) == b"answer"
    stream = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream.settimeout(2)
    stream.connect(("127.0.0.11", 53))
    assert wishes.id


@in_new_host
def test_names_follow_who_is_there(host: Host) -> None:
    engine = Engine(host)
    engine.create("shop")
    web = engine.up("web", "shop", endpoints={"shop": EndpointSettings(links=["db:store"])})
    assert web.allocation.dns is not None
    names = Names(web.allocation.dns.names)
    assert names.addresses("db") is None
    db = engine.up("db", "shop", endpoints={"shop": EndpointSettings(aliases=["sql"])})
    for name in ("db", "sql", "sql.shop", db.id[:12], "store"):
        assert [str(a) for a in names.addresses(name) or ()] == [db.ip], name
    asyncio.run(engine.networks.rename(db.id, "database"))
    assert names.addresses("database")
    assert names.addresses("db") is None
    engine.down(db)
    assert names.addresses("sql") is None
    engine.down(web)
    assert not web.allocation.dns.names.exists()


def way_out(up: Up) -> list[str]:
    routes = rtnetlink.dump_routes(Channel(up.namespace.rtnetlink))
    return [str(route.gateway) for route in routes if route.destination.prefixlen == 0]


@in_new_host
def test_connect_and_disconnect_while_running(host: Host) -> None:
    engine = Engine(host)
    engine.create("front")
    engine.create("back")
    web = engine.up("web", "front", port_bindings=published(":8080:80/tcp"))
    db = engine.up("db", "back")
    host.serve(db.namespace, "0.0.0.0", 5432)
    host.serve(web.namespace, "0.0.0.0", 80)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    assert not is_reachable(web.namespace, db.ip, 5432)
    target = engine.target(web)
    asyncio.run(engine.networks.connect("back", target, EndpointSettings(aliases=["www"])))
    assert ask(web.namespace, db.ip, 5432).startswith("10.213.")
    with pytest.raises(PermissionDenied, match="already exists in network back"):
        asyncio.run(engine.networks.connect("back", target, None))
    shown = asyncio.run(engine.networks.settings(web.wishes))
    assert set(shown.networks) == {"front", "back"}
    assert shown.networks["back"].aliases == ["www"]
    # Of equal ones the first by name leads outside, so that it is another one by now.
    engine.create("east")
    asyncio.run(engine.networks.connect("east", target, EndpointSettings(gw_priority=9)))
    shown = asyncio.run(engine.networks.settings(web.wishes))
    assert way_out(web) == [shown.networks["east"].gateway]
    assert ask(host.outside, HOST_ADDRESS, 8080) == OUTSIDE_ADDRESS
    asyncio.run(engine.networks.disconnect("east", target))
    # The network that led outside goes: the other one takes over, ports included.
    asyncio.run(engine.networks.disconnect("front", target))
    assert ask(web.namespace, OUTSIDE_ADDRESS, 82) == HOST_ADDRESS
    assert ask(host.outside, HOST_ADDRESS, 8080) == OUTSIDE_ADDRESS
    with pytest.raises(PermissionDenied, match="is not connected to network front"):
        asyncio.run(engine.networks.disconnect("front", target))
    engine.down(web)
    stopped = asyncio.run(engine.networks.settings(web.wishes))
    assert set(stopped.networks) == {"back"}


@in_new_host
def test_nothing_is_left(host: Host) -> None:
    before = host.links()
    engine = Engine(host)
    engine.create("shop")
    containers = [
        engine.up(f"c{i}", "shop", port_bindings=published(f":{9000 + i}:80/tcp")) for i in range(3)
    ]
    with pytest.raises(PermissionDenied, match=r"has active endpoints \(name:\"c0\" id:\""):
        asyncio.run(engine.networks.remove("shop"))
    for container in containers:
        engine.down(container)
        container.namespace.close()
    asyncio.run(engine.networks.remove("shop"))
    wait_until(lambda: len(host.links()) == len(before) + 1)
    assert host.links() - before == {f"{engine.roots.tag}0"}
    listed = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    assert ". 9000" not in listed.stdout
    asyncio.run(engine.networks.purge())
    assert host.links() == before
    assert host.tables() == []


@in_new_host
def test_recovery_after_a_kill(host: Host) -> None:
    engine = Engine(host)
    engine.create("shop")
    alive = engine.up("alive", "shop", port_bindings=published(":8080:80/tcp"))
    dead = engine.up("dead", "shop", port_bindings=published(":8081:80/tcp"))
    host.serve(alive.namespace, "0.0.0.0", 80)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    subprocess.run(
        [
            "ip",
            "link",
            "del",
            f"{engine.roots.tag}{engine.networks._context.registry.endpoints_of(dead.id)[0].id}"[
                :15
            ],
        ],
        check=True,
    )
    orphan = f"{engine.roots.tag}0000000000"[:15]
    subprocess.run(
        ["ip", "link", "add", orphan, "type", "veth", "peer", "name", "orphanpeer"], check=True
    )
    dead.allocation.close()
    again = Engine(host, directory=engine.directory)
    assert ask(host.outside, HOST_ADDRESS, 8080) == OUTSIDE_ADDRESS
    assert orphan not in host.links()
    inspected = asyncio.run(again.networks.inspect("shop"))
    assert set(inspected.containers) == {alive.id}
    again.up("heir", "shop", port_bindings=published(":8081:80/tcp"))
    asyncio.run(again.networks.retain([]))
    assert not asyncio.run(again.networks.inspect("shop")).containers


@in_new_host
def test_two_daemons_side_by_side(host: Host) -> None:
    one, other = Engine(host), Engine(host)
    first, second = one.up("first"), other.up("second")
    assert first.ip != second.ip
    host.serve(second.namespace, "0.0.0.0", 80)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    assert not is_reachable(first.namespace, second.ip, 80)
    asyncio.run(one.networks.release(first.id))
    asyncio.run(one.networks.purge())
    assert ask(second.namespace, OUTSIDE_ADDRESS, 82)


@in_new_host
def test_a_flushed_table_comes_back_with_the_next_change(host: Host) -> None:
    engine = Engine(host)
    web = engine.up("web", port_bindings=published(":8080:80/tcp"))
    host.serve(web.namespace, "0.0.0.0", 80)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    engine.up("other", port_bindings=published(":8081:80/tcp"))
    assert ask(host.outside, HOST_ADDRESS, 8080) == OUTSIDE_ADDRESS


@in_new_host
def test_subnets_avoid_what_the_host_has(host: Host) -> None:
    subprocess.run(
        "ip addr add 10.213.0.77/24 dev eth0; ip route add 10.213.1.0/24 via 203.0.113.1",
        shell=True,
        check=True,
    )
    engine = Engine(host)
    assert engine.up("one").ip == "10.213.2.2"
    engine.create(
        "fixed", ipam=IPAM(config=[IPAMConfig(subnet="10.213.9.0/24", gateway="10.213.9.7")])
    )
    fixed = engine.up("two", "fixed")
    assert fixed.ip == "10.213.9.1"
    with pytest.raises(PermissionDenied, match="Pool overlaps"):
        engine.create("clash", ipam=IPAM(config=[IPAMConfig(subnet="10.213.8.0/22")]))


@in_new_host
def test_a_released_endpoint_is_cut_off_at_once_and_swept_later(host: Host) -> None:
    engine = Engine(host)
    one, other = engine.up("one"), engine.up("other")
    host.serve(other.namespace, "0.0.0.0", 80)
    assert ask(one.namespace, other.ip, 80)
    engine.down(other)
    # The namespace is still there, as when another container shares it; its address is free.
    heir = engine.up("heir")
    assert heir.ip == other.ip
    host.serve(heir.namespace, "0.0.0.0", 80)
    assert ask(one.namespace, heir.ip, 80) == one.ip
    before = len(host.links())
    wait_until(lambda: not engine.networks._context.bridges.sweep())
    assert len(host.links()) == before - 1


@in_new_host
def test_mtu_of_the_way_out_and_of_choice(host: Host) -> None:
    engine = Engine(host)
    engine.create("small", options={"com.docker.network.driver.mtu": "1200"})
    for network, mtu in (("default", 1400), ("small", 1200)):
        container = engine.up(f"in-{network}", network)
        link = rtnetlink.find_link(Channel(container.namespace.rtnetlink), "eth0")
        assert link is not None
        assert link.mtu == mtu
        engine.down(container)
        container.namespace.close()
    wait_until(lambda: len(host.links()) == 4)
    again = engine.up("again")
    link = rtnetlink.find_link(Channel(again.namespace.rtnetlink), "eth0")
    assert link is not None
    assert link.mtu == 1400


@in_new_host
def test_settings_of_the_host(host: Host) -> None:
    engine = Engine(host)
    engine.create("six", enable_ipv6=True)
    for name, value in (
        ("ipv4/ip_forward", "1"),
        (f"ipv4/conf/{engine.roots.tag}0/route_localnet", "1"),
        (f"ipv6/conf/{engine.roots.tag}0/accept_ra", "0"),
        ("ipv6/conf/all/forwarding", "1"),
        # Routes that the host learned itself go on being learned.
        ("ipv6/conf/eth0/accept_ra", "2"),
        ("ipv4/conf/eth0/route_localnet", "0"),
    ):
        assert Path("/proc/sys/net", name).read_text().strip() == value, name


@in_new_host
def test_events(host: Host) -> None:
    engine = Engine(host)

    async def story() -> list[tuple[str, str]]:
        with engine.events.subscribe() as subscription:
            await engine.networks.create(NetworkCreateRequest(name="shop"))
            wishes = ContainerNetworks(ContainerId(new_id()), "web", network_mode="shop")
            allocation = await engine.networks.allocate(wishes)
            await engine.networks.plug(allocation, host.namespace().sandbox())
            await engine.networks.release(wishes.id)
            await engine.networks.release(wishes.id)
            await engine.networks.remove("shop")
            told = [await anext(subscription) for _ in range(4)]
        assert told[1].attributes == {"container": wishes.id, "name": "shop", "type": "bridge"}
        return [(event.kind, event.action) for event in told]

    actions = ("create", "connect", "disconnect", "destroy")
    assert asyncio.run(story()) == [("network", action) for action in actions]


@in_new_host
def test_macvlan(host: Host) -> None:
    engine = Engine(host)
    subnet = IPAM(config=[IPAMConfig(subnet="203.0.113.0/24", gateway=OUTSIDE_ADDRESS)])
    for driver in ("macvlan", "ipvlan"):
        for parent, error in (
            ("lo", InvalidArgument),
            ("no0", NotFound),
            ("eth0.9999", InvalidArgument),
        ):
            with pytest.raises(error):
                engine.create("wire", driver=driver, ipam=subnet, options={"parent": parent})
    engine.create("wire", driver="macvlan", ipam=subnet, options={"parent": "eth0"})
    web = engine.up(
        "web",
        "wire",
        endpoints={
            "wire": EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address="203.0.113.50"))
        },
    )
    host.serve(web.namespace, "0.0.0.0", 80)
    host.serve(host.outside, OUTSIDE_ADDRESS, 82)
    assert ask(host.outside, "203.0.113.50", 80) == OUTSIDE_ADDRESS
    assert ask(web.namespace, OUTSIDE_ADDRESS, 82) == "203.0.113.50"
    asyncio.run(engine.networks.disconnect("wire", engine.target(web)))
    assert {link.name for link in rtnetlink.dump_links(Channel(web.namespace.rtnetlink))} == {"lo"}


@in_new_host
def test_settings_of_an_interface(host: Host) -> None:
    engine = Engine(host)
    option = "com.docker.network.endpoint.sysctls"
    text = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.neigh.ifname.gc_stale_time=77"
    web = engine.up("web", endpoints={"bridge": EndpointSettings(driver_opts={option: text})})
    places = ("conf/eth0/log_martians", "neigh/eth0/gc_stale_time")
    for place, value in zip(places, ("1", "77"), strict=True):
        path = Path("/proc/sys/net/ipv4", place)
        assert web.namespace.call(path.read_text).strip() == value
    for wrong in (
        "net.ipv4.conf.eth0.log_martians=1",
        "kernel.x.y.IFNAME.z=1",
        "net.ipv4.a.IFNAME.b",
    ):
        endpoints = {"bridge": EndpointSettings(driver_opts={option: wrong})}
        with pytest.raises(InvalidArgument, match="unrecognised network interface sysctl"):
            engine.allocate("wrong", endpoints=endpoints)
    missing = {option: "net.ipv4.conf.IFNAME.nothing_like_it=1"}
    with pytest.raises(FailedPrecondition, match="nothing_like_it"):
        engine.up("missing", endpoints={"bridge": EndpointSettings(driver_opts=missing)})


@in_new_host
def test_udp_clients_follow_the_port_to_the_next_container(host: Host) -> None:
    engine = Engine(host)
    first = engine.up("first", port_bindings=published(":5353:53/udp"))
    engine.up("placeholder")
    host.serve(first.namespace, "0.0.0.0", 53, kind=UDP)
    client = host.outside.socket(socket.AF_INET, UDP)
    client.settimeout(2)
    client.connect((HOST_ADDRESS, 5353))
    client.send(b"?")
    assert client.recv(100).decode() == OUTSIDE_ADDRESS
    engine.down(first)
    engine.up("in between")
    second = engine.up("second", port_bindings=published(":5353:53/udp"))
    assert second.ip != first.ip
    host.serve(second.namespace, "0.0.0.0", 53, kind=UDP)
    # The same flow, without a pause: its tracking would still lead to the first.
    client.send(b"?")
    assert client.recv(100).decode() == OUTSIDE_ADDRESS


@in_new_host
def test_many_at_once(host: Host) -> None:
    engine = Engine(host)
    engine.create("shop")
    namespaces = [host.namespace() for _ in range(24)]

    async def one(index: int) -> str:
        wishes = ContainerNetworks(
            ContainerId(new_id()),
            f"c{index}",
            hostname=f"c{index}",
            network_mode="shop",
            publish_all=True,
            exposed_ports=("80/tcp",),
        )
        allocation = await engine.networks.allocate(wishes)
        await engine.networks.plug(allocation, namespaces[index].sandbox())
        allocation.close()
        if index % 2:
            await engine.networks.release(wishes.id)
            return ""
        return allocation.settings.networks["shop"].ip_address

    async def everything() -> list[str]:
        return await asyncio.gather(*(one(index) for index in range(24)))

    addresses = [address for address in asyncio.run(everything()) if address]
    assert len(set(addresses)) == 12
    consistent(engine, host)


def consistent(engine: Engine, host: Host) -> None:
    """Check that the kernel shows what the records say, and nothing else of ours."""
    context = engine.networks._context
    endpoints = context.registry.endpoints()
    veths = {context.bridges.veth_name(EndpointId(e.id)) for e in endpoints if e.mac}
    bridges = {
        context.bridges.bridge_name(network_spec(n))
        for n in context.registry.networks()
        if n.driver == "bridge"
    }
    assert all(n.ready for n in context.registry.networks())
    wait_until(lambda: not context.bridges.sweep())
    ours = {name for name in host.links() if name.startswith(engine.roots.tag)}
    assert ours == veths | bridges
    elements = nftables.dump_elements(host.nf, engine.roots.tag, FAMILIES[4].any)
    ports = {(p.host_port, e.id) for e in endpoints for p in e.ports if p.host_ip == "0.0.0.0"}
    assert len(elements) == len(ports)
    shown = {
        e.key.rstrip(b"\0") for e in nftables.dump_elements(host.nf, engine.roots.tag, BRIDGES)
    }
    assert {name.decode() for name in shown} == bridges
    files = {path.name for path in engine.roots.networks.iterdir()}
    assert files <= {e.container for e in endpoints} | {n.id for n in context.registry.networks()}


def _restless(engine: Engine, namespaces: list[Namespace], seed: int) -> None:
    """Create, plug, release and remove for ever."""
    dice = random.Random(seed)
    running: dict[int, Up] = {}
    for turn in itertools.count():
        place = dice.randrange(len(namespaces))
        namespace = namespaces[place]
        if place in running:
            engine.down(running.pop(place))
        inside = Channel(namespace.rtnetlink)
        for link in rtnetlink.dump_links(inside):
            if link.index != rtnetlink.LOOPBACK_INDEX:
                inside.execute([rtnetlink.delete_link(link.index)])
        asyncio.run(engine.networks.prune(Filters({})))
        name = f"n{seed}-{turn}"
        engine.create(name, internal=dice.random() < 0.3)
        wishes, allocation = engine.allocate(
            f"c{turn}", name, port_bindings=published(":0:80/tcp", ":0:53/udp")
        )
        asyncio.run(engine.networks.plug(allocation, namespace.sandbox()))
        running[place] = Up(wishes.id, namespace, allocation, wishes)


@in_new_host
def test_killed_at_any_moment(host: Host) -> None:
    engine = Engine(host)
    namespaces = [host.namespace() for _ in range(3)]
    dice = random.Random(7)
    for seed in range(12):
        pid = os.fork()
        if pid == 0:
            try:
                worker = Engine(host, directory=engine.directory)
                _restless(worker, namespaces, seed)
            finally:
                traceback.print_exc()
                os._exit(1)
        time.sleep(dice.uniform(0.05, 0.35))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "the worker failed by itself; the traceback is above"
        again = Engine(host, directory=engine.directory)
        consistent(again, host)
        again.database.close()
    last = Engine(host, directory=engine.directory)
    asyncio.run(last.networks.retain([]))
    asyncio.run(last.networks.prune(Filters({})))
    asyncio.run(last.networks.close())
    assert not {name for name in host.links() if name.startswith(engine.roots.tag)}
    assert host.tables() == []
