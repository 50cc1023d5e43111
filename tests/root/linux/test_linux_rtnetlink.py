"""Links, addresses and routes on the real kernel."""

import errno
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.testing.network_lab import Host, in_new_host

pytestmark = pytest.mark.root


@in_new_host
def test_a_bridge_and_its_ports(host: Host) -> None:
    host.rt.execute(
        [
            rt.add_bridge("br0", mac="02:42:0a:d5:00:01"),
            rt.set_link("br0", mtu=1300, alias="a note", no_link_local=True),
        ]
    )
    bridge = rt.find_link(host.rt, "br0")
    assert bridge is not None
    assert (bridge.kind, bridge.mac, bridge.mtu) == ("bridge", "02:42:0a:d5:00:01", 1300)
    assert (bridge.alias, bridge.up) == ("a note", True)
    inside = host.namespace()
    host.rt.execute(
        [
            rt.add_veth("port", "eth0", netns=inside.netns, peer_mac="02:42:0a:d5:00:02", mtu=1300),
            rt.set_link("port", up=True, master=bridge.index, no_link_local=True),
            rt.set_bridge_port("port", hairpin=True, isolated=True),
        ]
    )
    port = rt.find_link(host.rt, "port")
    assert port is not None
    assert (port.kind, port.master, port.mtu) == ("veth", bridge.index, 1300)
    channel = Channel(inside.rtnetlink)
    eth0 = rt.find_link(channel, "eth0")
    assert eth0 is not None
    assert eth0.mac == "02:42:0a:d5:00:02"
    channel.execute(
        [
            rt.set_link(eth0.index, up=True),
            rt.add_address(eth0.index, ip_interface("10.213.0.2/24")),
            rt.add_address(eth0.index, ip_interface("fd12::2/64")),
            rt.default_route(ip_address("10.213.0.1")),
            rt.default_route(ip_address("fd12::1"), index=eth0.index),
            rt.add_route(ip_network("10.99.0.0/16"), index=eth0.index),
            rt.add_neighbour(eth0.index, ip_address("10.213.0.9"), "02:42:0a:d5:00:09"),
        ]
    )
    addresses = {str(a) for i, a in rt.dump_addresses(channel) if i == eth0.index}
    assert {"10.213.0.2/24", "fd12::2/64"} <= addresses
    routes = {(str(r.destination), str(r.gateway)) for r in rt.dump_routes(channel)}
    assert {
        ("0.0.0.0/0", "10.213.0.1"),
        ("::/0", "fd12::1"),
        ("10.99.0.0/16", "None"),
        ("10.213.0.0/24", "None"),
    } <= routes
    channel.execute(
        [
            rt.delete_route(ip_network("10.99.0.0/16"), index=eth0.index),
            rt.delete_address(eth0.index, ip_interface("10.213.0.2/24")),
        ]
    )
    host.rt.execute([rt.disable_bridge_port("port"), rt.filter_bridged_packets("br0")])
    host.rt.execute([rt.delete_link("port"), rt.delete_link("br0")])
    assert rt.find_link(channel, "eth0") is None
    assert rt.find_link(host.rt, "br0") is None


@in_new_host
def test_macvlan(host: Host) -> None:
    parent = rt.find_link(host.rt, "eth0")
    assert parent is not None
    inside = host.namespace()
    made = rt.add_macvlan(
        "eth0",
        parent=parent.index,
        netns=inside.netns,
        mode=rt.MacvlanMode.BRIDGE,
        mac="02:42:0a:d5:00:02",
    )
    host.rt.execute([made])
    link = rt.find_link(Channel(inside.rtnetlink), "eth0")
    assert link is not None
    assert (link.kind, link.mac) == ("macvlan", "02:42:0a:d5:00:02")


@in_new_host
def test_errors_say_what_was_tried(host: Host) -> None:
    with pytest.raises(FileExistsError) as exists:
        host.rt.execute([rt.add_bridge("eth0"), rt.set_link("lo", up=True)])
    assert exists.value.filename == "add bridge eth0"
    with pytest.raises(OSError, match="invalid gateway") as unreachable:
        host.rt.execute([rt.default_route(ip_address("10.99.0.1"))])
    assert unreachable.value.errno == errno.ENETUNREACH
    with pytest.raises(OSError, match="delete link nothing") as absent:
        host.rt.execute([rt.delete_link("nothing")])
    assert absent.value.errno == errno.ENODEV
