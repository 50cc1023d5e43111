"""Forgets tracked UDP flows, which would go on leading to where a port led before.

A flow lives for as long as packets keep coming, so a client that sends all the time would never
reach the new container behind a published UDP port.
"""

import errno
import socket
import struct
from ipaddress import ip_address

from tiffin.linux.netlink import NETLINK_NETFILTER, Channel, Request, open_socket
from tiffin.networks.driver import EndpointSpec
from tiffin.wire import netlink as nl

NFNL_SUBSYS_CTNETLINK = 1
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 2, 1, 3
CTA_ID, CTA_TUPLE_REPLY = 12, 2
GENERIC_LENGTH = 4
UDP = 17


def forget_udp_flows(endpoint: EndpointSpec) -> None:
    """Forget the flows to the endpoint's published UDP ports of the host."""
    ports = {
        (ip_address(mapping.host_ip).version, port)
        for mapping in endpoint.ports
        if mapping.protocol == "udp"
        for port in range(mapping.host_port, mapping.host_port + mapping.count)
    }
    if not ports:
        return
    with open_socket(NETLINK_NETFILTER) as sock:
        channel = Channel(sock)
        for version in {version for version, _ in ports}:
            _forget(channel, version, {port for v, port in ports if v == version})


def _forget(channel: Channel, version: int, ports: set[int]) -> None:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    header = struct.pack("!BBH", family, 0, 0)
    for reply in channel.dump(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET, header):
        flow = nl.attributes(reply.payload[GENERIC_LENGTH:])
        original = flow.get(CTA_TUPLE_ORIG, b"")
        if _destination(original) not in ports:
            continue
        payload = header + nl.nested(CTA_TUPLE_ORIG, original)
        if CTA_ID in flow:
            payload += nl.attribute(CTA_ID, flow[CTA_ID])
        kind = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
        try:
            channel.execute([Request(kind, 0, payload, "forget a UDP flow")])
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def _destination(original: bytes) -> int:
    """Return the destination port of a UDP flow, 0 for other protocols."""
    protocol = nl.attributes(nl.attributes(original).get(CTA_TUPLE_PROTO, b""))
    if protocol.get(CTA_PROTO_NUM) != bytes((UDP,)):
        return 0
    return int.from_bytes(protocol.get(CTA_PROTO_DST_PORT, b""), "big")
