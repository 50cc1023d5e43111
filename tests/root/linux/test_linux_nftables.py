"""Our nftables requests, as the nft command reads them back."""

import errno
import subprocess
from ipaddress import ip_address, ip_network

import pytest

from tiffin.linux import nfexpr as nf
from tiffin.linux import nftables as nft
from tiffin.networks.driver import PortMapping
from tiffin.networks.firewall import FAMILIES, BridgeRules, Firewall, Published
from tiffin.testing.network_lab import Host, in_new_host

pytestmark = pytest.mark.root

EXPECTED = """\
table inet tf0test {
    set bridges {
        type ifname
        elements = { "br0",
                 "br1",
                 "br2" }
    }

    set talking {
        type ifname . ifname
        elements = { "br0" . "br0",
                 "br2" . "br2" }
    }

    set internal {
        type ifname
        elements = { "br1" }
    }

    set trusted {
        type ifname . ifname
        elements = { "wg0" . "br2" }
    }

    set subnets4 {
        type ipv4_addr
        flags interval
        elements = { 10.213.0.0/24, 10.213.1.0/24,
                 10.213.2.0/24 }
    }

    set masquerade4 {
        type ipv4_addr
        flags interval
        elements = { 10.213.0.0/24 }
    }

    map ports4 {
        type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service
        elements = { udp . 127.0.0.1 . 5353 : 10.213.0.2 . 53,
                 udp . 127.0.0.1 . 5354 : 10.213.0.2 . 54 }
    }

    map any4 {
        type inet_proto . inet_service : ipv4_addr . inet_service
        elements = { tcp . 8080 : 10.213.0.2 . 80 }
    }

    map ranges4 {
        type inet_proto . ipv4_addr . inet_service : ipv4_addr
        flags interval
        elements = { tcp . 0.0.0.0/0 . 10000-18999 : 10.213.0.2 }
    }

    set unprotected4 {
        type ifname
        elements = { "br2" }
    }

    set routed4 {
        type ifname
    }

    set open4 {
        type inet_proto . ipv4_addr . inet_service
    }

    map sources4 {
        type ipv4_addr : ipv4_addr
        flags interval
        elements = { 10.213.2.0/24 : 192.0.2.7 }
    }

    set subnets6 {
        type ipv6_addr
        flags interval
        elements = { fd12::/64 }
    }

    set masquerade6 {
        type ipv6_addr
        flags interval
        elements = { fd12::/64 }
    }

    map ports6 {
        type inet_proto . ipv6_addr . inet_service : ipv6_addr . inet_service
    }

    map any6 {
        type inet_proto . inet_service : ipv6_addr . inet_service
        elements = { tcp . 8080 : fd12::2 . 80 }
    }

    map ranges6 {
        type inet_proto . ipv6_addr . inet_service : ipv6_addr
        flags interval
    }

    set unprotected6 {
        type ifname
    }

    set routed6 {
        type ifname
        elements = { "br2" }
    }

    set open6 {
        type inet_proto . ipv6_addr . inet_service
        elements = { tcp . fd13::2 . 81 }
    }

    map sources6 {
        type ipv6_addr : ipv6_addr
        flags interval
    }

    chain raw {
        type filter hook prerouting priority raw; policy accept;
        iifname @bridges ip daddr 127.0.0.0/8 drop
        iifname @bridges ip saddr 127.0.0.0/8 drop
    }

    chain ports {
        dnat ip to meta l4proto . ip daddr . th dport map @ports4
        meta nfproto ipv4 dnat ip to meta l4proto . th dport map @any4
        dnat ip to meta l4proto . ip daddr . th dport map @ranges4
        dnat ip6 to meta l4proto . ip6 daddr . th dport map @ports6
        meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @any6
        dnat ip6 to meta l4proto . ip6 daddr . th dport map @ranges6
    }

    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 127.0.0.0/8 return
        fib daddr type local jump ports
    }

    chain output {
        type nat hook output priority -100; policy accept;
        ip6 daddr ::1 return
        fib daddr type local jump ports
    }

    chain forward {
        type filter hook forward priority filter; policy accept;
        ct state established,related accept
        iifname . oifname @talking accept
        iifname @internal drop
        oifname @internal drop
        oifname @bridges ct status dnat accept
        meta nfproto ipv4 oifname @unprotected4 iifname != @bridges accept
        oifname @routed4 meta l4proto icmp accept
        oifname @routed4 meta l4proto . ip daddr . th dport @open4 accept
        iifname . oifname @trusted meta l4proto . ip daddr . th dport @open4 accept
        meta nfproto ipv6 oifname @unprotected6 iifname != @bridges accept
        oifname @routed6 meta l4proto ipv6-icmp accept
        oifname @routed6 meta l4proto . ip6 daddr . th dport @open6 accept
        iifname . oifname @trusted meta l4proto . ip6 daddr . th dport @open6 accept
        oifname @bridges drop
    }

    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname @bridges ip saddr 127.0.0.0/8 masquerade
        oifname @bridges ct status dnat ip saddr @subnets4 masquerade
        oifname != @bridges snat ip to ip saddr map @sources4
        oifname != @bridges ip saddr @masquerade4 masquerade
        oifname @bridges ct status dnat ip6 saddr @subnets6 masquerade
        oifname != @bridges snat ip6 to ip6 saddr map @sources6
        oifname != @bridges ip6 saddr @masquerade6 masquerade
    }
}
"""

FIRST, SECOND, THIRD = "10.213.0.0/24", "fd12::/64", "10.213.2.0/24"
BRIDGES = [
    BridgeRules(
        "br0",
        (ip_network(FIRST), ip_network(SECOND)),
        masqueraded=((ip_network(FIRST), None), (ip_network(SECOND), None)),
    ),
    BridgeRules("br1", (ip_network("10.213.1.0/24"),), internal=True, talking=False),
    BridgeRules(
        "br2",
        (ip_network(THIRD),),
        masqueraded=((ip_network(THIRD), ip_address("192.0.2.7")),),
        unprotected=(4,),
        routed=(6,),
        trusted=("wg0",),
    ),
]
PORTS = [
    Published(PortMapping("tcp", 80, "0.0.0.0", 8080), ip_address("10.213.0.2")),
    Published(PortMapping("tcp", 81, "::", 0), ip_address("fd13::2"), opened=True),
    Published(PortMapping("udp", 53, "127.0.0.1", 5353, 2), ip_address("10.213.0.2")),
    Published(PortMapping("tcp", 10000, "0.0.0.0", 10000, 9000), ip_address("10.213.0.2")),
    Published(PortMapping("tcp", 80, "::", 8080), ip_address("fd12::2")),
]


def listed() -> str:
    shown = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    return shown.stdout


@in_new_host
def test_the_whole_table(host: Host) -> None:
    firewall = Firewall("tf0test", host.nf)
    firewall.rebuild([], [])
    empty = listed()
    for rules in BRIDGES:
        firewall.add_bridge(rules)
    firewall.publish(PORTS)
    firewall.publish(PORTS)
    # The order of a hash set's elements is the kernel's.
    assert sorted(listed().split()) == sorted(EXPECTED.split())
    firewall.rebuild(BRIDGES, PORTS)
    assert sorted(listed().split()) == sorted(EXPECTED.split())
    firewall.retract(PORTS)
    firewall.retract(PORTS)
    for rules in BRIDGES:
        firewall.remove_bridge(rules.bridge)
        firewall.remove_bridge(rules.bridge)
    assert listed() == empty
    firewall.remove()
    assert listed() == ""


@in_new_host
def test_a_failed_transaction_changes_nothing(host: Host) -> None:
    firewall = Firewall("tf0test", host.nf)
    firewall.rebuild(BRIDGES, PORTS[:1])
    before = listed()
    clash = Published(PortMapping("tcp", 81, "0.0.0.0", 8080), ip_address("10.213.0.3"))
    with pytest.raises(FileExistsError):
        firewall.publish([clash])
    assert listed() == before
    firewall.publish(PORTS[1:])
    with pytest.raises(OSError, match="delete table") as caught:
        nft.commit(host.nf, [nft.delete_table("tf0none")])
    assert caught.value.errno == errno.ENOENT


@in_new_host
def test_elements_come_back_and_large_sets_are_split(host: Host) -> None:
    firewall = Firewall("tf0test", host.nf)
    many = [
        Published(PortMapping("tcp", 80, "0.0.0.0", port), ip_address("10.213.0.2"))
        for port in range(1000, 4000)
    ]
    firewall.rebuild([], many)
    elements = nft.dump_elements(host.nf, "tf0test", FAMILIES[4].any)
    assert len(elements) == 3000
    assert nft.table_exists(host.nf, "tf0test")
    assert not nft.table_exists(host.nf, "tf0none")
    assert nft.dump_tables(host.nf) == ["tf0test"]


@in_new_host
def test_source_nat(host: Host) -> None:
    nft.commit(
        host.nf,
        [
            nft.add_table("tf0test"),
            nft.add_base_chain("tf0test", "post", "nat", nft.Hook.POSTROUTING, 100),
            nft.add_rule(
                "tf0test",
                "post",
                nf.for_family(nf.NFPROTO_IPV4),
                nf.immediate(0, ip_address("10.0.0.1").packed),
                nf.source_nat(nf.NFPROTO_IPV4, 0),
            ),
        ],
    )
    assert "meta nfproto ipv4 snat ip to 10.0.0.1" in listed()
