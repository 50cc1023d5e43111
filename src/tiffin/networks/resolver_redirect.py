"""Leads a container's DNS requests to the shim's sockets, inside the container's namespace.

The shim's sockets have ports of their own, so that a name server in the container can have 53.
"""

import struct

from tiffin.linux import nfexpr as nf
from tiffin.linux import nftables as nft
from tiffin.linux.netlink import Channel, Request
from tiffin.networks.driver import Sandbox

RESOLVER = "127.0.0.11"
TABLE = "tiffin"
DNS_PORT = 53
PROTOCOL_UDP, PROTOCOL_TCP = 17, 6
PRIORITY_DNAT = -100
RESOLVER_PACKED = bytes((127, 0, 0, 11))


def redirect_dns(sandbox: Sandbox) -> None:
    """Make the rules, or make them anew; OSError if the kernel does not take them."""
    rules = [
        _rule(protocol, port)
        for protocol, port in (
            (PROTOCOL_UDP, sandbox.dns_udp_port),
            (PROTOCOL_TCP, sandbox.dns_tcp_port),
        )
        if port
    ]
    requests = [
        nft.add_table(TABLE),
        nft.delete_table(TABLE),
        nft.add_table(TABLE),
        nft.add_base_chain(TABLE, "output", "nat", nft.Hook.OUTPUT, PRIORITY_DNAT),
        *rules,
    ]
    nft.commit(Channel(sandbox.nfnetlink), requests)


def _rule(protocol: int, port: int) -> Request:
    return nft.add_rule(
        TABLE,
        "output",
        nf.for_family(nf.NFPROTO_IPV4),
        nf.destination_address(nf.NFPROTO_IPV4) + nf.compare(RESOLVER_PACKED),
        nf.meta(nf.NFT_META_L4PROTO) + nf.compare(bytes((protocol,))),
        nf.destination_port() + nf.compare(struct.pack("!H", DNS_PORT)),
        nf.immediate(0, RESOLVER_PACKED),
        nf.immediate(1, nft.field(struct.pack("!H", port))),
        nf.destination_nat(nf.NFPROTO_IPV4, 0, 1),
        what=f"{RESOLVER}:{DNS_PORT} leads to port {port}",
    )
