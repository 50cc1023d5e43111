"""Published ports in user space, against real sockets."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.unit.shim.shim_loop import running

from tiffin.shim.forward import open_forward
from tiffin.shim.loop import Loop


@contextmanager
def forward(listener: socket.socket, protocol: str, target: tuple[str, int]) -> Iterator[None]:
    def set_up(loop: Loop) -> Callable[[], None]:
        return open_forward(loop, listener.detach(), protocol, *target).close

    with running(set_up):
        yield


@contextmanager
def serving(server: socket.socket, handle: Callable[[socket.socket], None]) -> Iterator[None]:
    def serve() -> None:
        connection, _address = server.accept()
        with connection:
            handle(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def test_a_connection_both_ways_with_half_close() -> None:
    data = os.urandom(3 << 20)

    def handle(connection: socket.socket) -> None:
        received = read_all(connection)
        connection.sendall(received[::-1])

    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as server:
        with forward(listener, "tcp", server.getsockname()), serving(server, handle):
            with socket.create_connection(address, 10) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == data[::-1]


def test_from_ipv6_to_ipv4() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    address = listener.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as server:
        with forward(listener, "tcp", server.getsockname()):
            with serving(server, lambda connection: connection.sendall(b"hello")):
                with socket.create_connection(address[:2], 10) as client:
                    assert read_all(client) == b"hello"


def test_a_target_that_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        target = closed.getsockname()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    with forward(listener, "tcp", target):
        for _ in range(3):
            with socket.create_connection(address, 10) as client:
                try:
                    assert client.recv(10) == b""
                except ConnectionResetError:
                    pass


def test_datagrams_of_several_clients() -> None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    address = listener.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        with forward(listener, "udp", server.getsockname()):
            clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
            for number, client in enumerate(clients):
                client.settimeout(10)
                client.connect(address)
                client.send(b"%d" % number)
            for _ in clients:
                data, peer = server.recvfrom(100)
                server.sendto(b"re:" + data, peer)
            assert [client.recv(100) for client in clients] == [b"re:0", b"re:1", b"re:2"]
            for client in clients:
                client.close()
