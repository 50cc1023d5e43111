"""Texts of hosts and resolv.conf, and the ports that `-p` means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.types.networks import PortBinding
from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.engine.networks.files import (
    Resolvers,
    extra_hosts,
    hosts,
    reachable_resolvers,
    resolv_conf,
    upstreams,
    wanted_resolvers,
)
from tiffin.engine.networks.options import NetworkOptions
from tiffin.engine.networks.published_ports import TakenPorts, port_map, wishes
from tiffin.errors import InvalidArgument
from tiffin.networks.host_ports import PortWish
from tiffin.spec.ids import ContainerId
from tiffin.state.networks import EndpointRecord, PortRecord

ALL = ("0.0.0.0", "::")


def container(**wanted: object) -> ContainerNetworks:
    return ContainerNetworks(ContainerId("c" * 64), "web", hostname="box", **wanted)  # type: ignore[arg-type]


def test_hosts() -> None:
    text = hosts(
        container(domainname="example.org", extra_hosts=["db:10.0.0.9", "up=host-gateway"]),
        ["172.18.0.2"],
        gateways=["172.17.0.1"],
        links=[("172.17.0.5", ["sql", "0123"])],
    )
    assert text.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert text.splitlines()[6:] == [
        "10.0.0.9\tdb",
        "172.17.0.1\tup",
        "172.17.0.5\tsql 0123",
        "172.18.0.2\tbox.example.org box",
        "172.17.0.1\thost.docker.internal",
    ]


def test_a_users_own_name_of_the_host_counts() -> None:
    text = hosts(
        container(extra_hosts=["host.docker.internal:10.0.0.1"]), [], gateways=["172.17.0.1"]
    )
    assert text.count("host.docker.internal") == 1


def test_extra_hosts() -> None:
    assert extra_hosts(["six:[::1]", "also:fd00::1"], []) == [("::1", "six"), ("fd00::1", "also")]
    for wrong in ("name", ":1.2.3.4", "name:nowhere", "name:host-gateway"):
        with pytest.raises(InvalidArgument):
            extra_hosts([wrong], [])


HOST = Resolvers.parse(
    "# by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.53 ; inner\n"
    "search example.org corp\noptions edns0 ndots:2\n"
)


def test_resolv_conf_of_the_default_bridge() -> None:
    wanted = wanted_resolvers(container(), NetworkOptions(), HOST)
    assert resolv_conf(wanted, HOST, embedded=False, isolated=True) == (
        "nameserver 10.0.0.53\nsearch example.org corp\noptions edns0 ndots:2\n"
    )


def test_resolv_conf_with_the_embedded_resolver() -> None:
    wanted = wanted_resolvers(container(), NetworkOptions(), HOST)
    text = resolv_conf(wanted, HOST, embedded=True, isolated=True)
    assert text == "nameserver 127.0.0.11\nsearch example.org corp\noptions edns0 ndots:2\n"
    plain = Resolvers(("10.0.0.53",))
    wanted = wanted_resolvers(container(), NetworkOptions(), plain)
    text = resolv_conf(wanted, plain, embedded=True, isolated=True)
    assert text == "nameserver 127.0.0.11\noptions ndots:0\n"


def test_the_containers_settings_come_before_the_daemons() -> None:
    options = NetworkOptions(dns=("9.9.9.9",), dns_search=("corp",))
    wanted = wanted_resolvers(container(dns=["1.1.1.1"], dns_search=["."]), options, HOST)
    assert wanted.servers == ("1.1.1.1",)
    assert wanted.search == ()
    assert upstreams(wanted, HOST) == ("1.1.1.1",)
    wanted = wanted_resolvers(container(), options, HOST)
    assert (wanted.servers, wanted.search) == (("9.9.9.9",), ("corp",))


def test_without_reachable_resolvers_public_ones_are_used() -> None:
    assert reachable_resolvers(Resolvers()) == ("8.8.8.8", "8.8.4.4")
    assert upstreams(Resolvers(), Resolvers(("127.0.0.53",))) == ("127.0.0.53",)


@given(st.text())
def test_any_text_is_a_resolv_conf(text: str) -> None:
    parsed = Resolvers.parse(text)
    assert Resolvers.parse(parsed.text()) == parsed


def test_ports() -> None:
    given_ = container(
        port_bindings={
            "80/tcp": [PortBinding(host_port="8080"), PortBinding(host_ip="127.0.0.1")],
            "53/udp": [PortBinding(host_ip="[::1]", host_port="5000-5010")],
            "99": None,
        },
        exposed_ports=("80/tcp", "81/tcp", "99", "100"),
        publish_all=True,
    )
    assert wishes(given_, default_ips=ALL) == [
        PortWish("tcp", 80, ALL, 8080, 8080),
        PortWish("udp", 53, ("::1",), 5000, 5010),
        PortWish("tcp", 80, ("127.0.0.1",)),
        PortWish("tcp", 99, ALL),
        PortWish("tcp", 81, ALL),
        PortWish("tcp", 100, ALL),
    ]


@pytest.mark.parametrize(
    ("key", "binding"),
    [
        ("80/xyz", PortBinding()),
        ("0/tcp", PortBinding()),
        ("80/tcp", PortBinding(host_port="70000")),
        ("80/tcp", PortBinding(host_port="90-80")),
        ("80/tcp", PortBinding(host_port="abc")),
        ("80/tcp", PortBinding(host_ip="nowhere", host_port="80")),
    ],
)
def test_ports_that_are_none(key: str, binding: PortBinding) -> None:
    with pytest.raises(InvalidArgument):
        wishes(container(port_bindings={key: [binding]}), default_ips=ALL)


def test_what_inspect_shows_of_ports() -> None:
    shown = port_map(
        container(exposed_ports=("80/tcp", "443/tcp")),
        [PortRecord("tcp", 80, "0.0.0.0", 8080, 2), PortRecord("tcp", 80, "::", 8080)],
    )
    assert shown["443/tcp"] is None
    assert [(b.host_ip, b.host_port) for b in shown["80/tcp"] or ()] == [
        ("0.0.0.0", "8080"),
        ("::", "8080"),
    ]
    assert [(b.host_ip, b.host_port) for b in shown["81/tcp"] or ()] == [("0.0.0.0", "8081")]


def test_taken_ports() -> None:
    record = EndpointRecord(
        "e", "c", "web", "n", "eth0", ports=(PortRecord("tcp", 80, "0.0.0.0", 8080, 10),)
    )
    taken = TakenPorts([record])
    assert ("tcp", "127.0.0.1", 8089) in taken
    assert ("tcp", "0.0.0.0", 8080) in taken
    assert ("tcp", "::", 8080) not in taken
    assert ("udp", "0.0.0.0", 8080) not in taken
    assert ("tcp", "0.0.0.0", 8090) not in taken
