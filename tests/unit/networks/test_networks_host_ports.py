"""Host ports: really bound, given back on failure, chosen alike on all addresses."""

import os
import socket

import pytest

from tiffin.errors import FailedPrecondition
from tiffin.networks.driver import PortMapping
from tiffin.networks.host_ports import HostPorts, PortWish, merge

LOCAL = ("127.0.0.1",)


def close_all(sockets: list[object]) -> None:
    for bound in sockets:
        os.close(bound.fd)  # type: ignore[attr-defined]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def test_a_listening_and_a_datagram_socket() -> None:
    port = free_port()
    wishes = [PortWish("tcp", 80, LOCAL, port, port), PortWish("udp", 53, LOCAL, port, port)]
    mappings, sockets = HostPorts().reserve(wishes, ())
    assert mappings == [
        PortMapping("tcp", 80, "127.0.0.1", port),
        PortMapping("udp", 53, "127.0.0.1", port),
    ]
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    kinds = [socket.socket(fileno=bound.fd) for bound in sockets]
    assert [kind.type for kind in kinds] == [socket.SOCK_STREAM, socket.SOCK_DGRAM]
    for kind in kinds:
        kind.close()


def test_ports_of_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            FailedPrecondition,
            match=rf"failed to bind host port 127\.0\.0\.1:{port}/tcp: address already in use",
        ):
            HostPorts().reserve([PortWish("tcp", 80, LOCAL, port, port)], ())


def test_our_own_ports() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        HostPorts().reserve([PortWish("tcp", 80, LOCAL, 8080, 8080)], {("tcp", "0.0.0.0", 8080)})
    assert caught.value.message == "Bind for 127.0.0.1:8080 failed: port is already allocated"


def test_the_first_free_port_of_a_range() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        mappings, sockets = HostPorts().reserve([PortWish("tcp", 80, LOCAL, port, port + 5)], ())
    assert port < mappings[0].host_port <= port + 5
    close_all(list(sockets))
    taken = {("tcp", "127.0.0.1", port + i) for i in range(6)}
    with pytest.raises(FailedPrecondition, match="all ports are allocated"):
        HostPorts().reserve([PortWish("tcp", 80, LOCAL, port, port + 5)], taken)


def test_automatic_ports_are_the_same_on_all_addresses_and_move_on() -> None:
    ports = HostPorts()
    both = ("127.0.0.1", "127.0.0.2")
    first, sockets = ports.reserve([PortWish("tcp", 80, both)], ())
    assert first[0].host_port == first[1].host_port >= 32768
    close_all(list(sockets))
    second, sockets = ports.reserve([PortWish("tcp", 80, both)], ())
    assert second[0].host_port > first[0].host_port
    close_all(list(sockets))


def test_nothing_stays_bound_after_a_failure() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.2", port)):
        before = len(os.listdir("/proc/self/fd"))
        wishes = [
            PortWish("udp", 80, LOCAL, port, port),
            PortWish("tcp", 80, ("127.0.0.1", "127.0.0.2"), port, port),
        ]
        with pytest.raises(FailedPrecondition):
            HostPorts().reserve(wishes, ())
        assert len(os.listdir("/proc/self/fd")) == before
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_many_ports_are_tried_but_few_sockets_kept() -> None:
    wishes = [PortWish("udp", 80 + i, LOCAL) for i in range(70)]
    mappings, sockets = HostPorts().reserve(wishes, ())
    assert len(mappings) == 70
    assert len(sockets) == 64
    close_all(list(sockets))


def test_neighbours_merge() -> None:
    ports = [PortMapping("tcp", 8000 + i, "0.0.0.0", 8000 + i) for i in range(100)]
    apart = PortMapping("tcp", 80, "0.0.0.0", 9000)
    other = PortMapping("tcp", 8100, "::", 8100)
    shifted = PortMapping("tcp", 7000, "0.0.0.0", 8100)
    assert set(merge([*ports, apart, other, shifted])) == {
        PortMapping("tcp", 8000, "0.0.0.0", 8000, 100),
        apart,
        other,
        shifted,
    }
