"""The resolver against real sockets: clients on one side, upstream servers on the other."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.shim.shim_loop import running

from tiffin.shim import dns as shim_dns
from tiffin.shim.dns import Resolver
from tiffin.shim.loop import Loop

Answerer = Callable[[bytes], bytes | None]


def query(name: str, identifier: int = 0x1234, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return (
        struct.pack(">6H", identifier, 0x0100, 1, 0, 0, 0)
        + labels
        + struct.pack(">BHH", 0, kind, 1)
    )


def reply(data: bytes, mark: bytes) -> bytes:
    """A reply to a query, recognised by its last bytes."""
    return data[:2] + b"\x81\x80" + data[4:] + mark


@contextmanager
def upstream(answer: Answerer, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server for UDP and TCP on one port."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, port))
    chosen = udp.getsockname()[1]
    tcp = socket.create_server((address, chosen))

    def serve_udp() -> None:
        while True:
            data, peer = udp.recvfrom(4096)
            if not data:
                return
            if (message := answer(data)) is not None:
                udp.sendto(message, peer)

    def serve_tcp() -> None:
        while True:
            connection, _peer = tcp.accept()
            with connection:
                data = connection.recv(4096)
                if not data:
                    return
                if (message := answer(data[2:])) is not None:
                    connection.sendall(len(message).to_bytes(2, "big") + message)

    threads = [threading.Thread(target=target) for target in (serve_udp, serve_tcp)]
    for thread in threads:
        thread.start()
    try:
        yield chosen
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", (address, chosen))
        socket.create_connection((address, chosen)).close()
        for thread in threads:
            thread.join(10)
        udp.close()
        tcp.close()


class Clients:
    """Asks the resolver over both transports."""

    def __init__(self, udp_port: int, tcp_port: int) -> None:
        self._udp = ("127.0.0.1", udp_port)
        self._tcp = ("127.0.0.1", tcp_port)

    def ask(self, message: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(10)
            client.sendto(message, self._udp)
            return client.recv(4096)

    def ask_by_tcp(self, *messages: bytes) -> list[bytes]:
        with socket.create_connection(self._tcp, 10) as client, client.makefile("rb") as file:
            for message in messages:
                client.sendall(len(message).to_bytes(2, "big") + message)
            return [file.read(int.from_bytes(file.read(2), "big")) for _ in messages]


@contextmanager
def resolver(names: Path, upstreams: tuple[str, ...]) -> Iterator[Clients]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    tcp = socket.create_server(("127.0.0.1", 0))
    clients = Clients(udp.getsockname()[1], tcp.getsockname()[1])

    def set_up(loop: Loop) -> Callable[[], None]:
        made = Resolver(loop, udp.detach(), tcp.detach(), str(names), upstreams)
        return made.close

    with running(set_up):
        yield clients


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names"
    path.write_text("network front\n10.1.2.3 web\n")
    return path


def test_own_names_are_answered_and_followed(names: Path) -> None:
    with resolver(names, ()) as clients:
        found = clients.ask(query("web"))
        assert found[:2] == b"\x12\x34"
        assert found.endswith(socket.inet_aton("10.1.2.3"))
        assert clients.ask_by_tcp(query("web", 1), query("WEB.front", 2))[1].endswith(
            socket.inet_aton("10.1.2.3")
        )
        fresh = names.with_name("fresh")
        fresh.write_text("network front\n10.1.2.44 web\n")
        fresh.rename(names)
        assert clients.ask(query("web")).endswith(socket.inet_aton("10.1.2.44"))


def test_other_names_go_to_the_upstreams(names: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def answer(data: bytes) -> bytes:
        seen.append(data)
        return reply(data, b"up")

    with upstream(answer) as port:
        monkeypatch.setattr(shim_dns, "UPSTREAM_PORT", port)
        with resolver(names, ("127.0.0.1",)) as clients:
            asked = query("example.org", 0x4321)
            assert clients.ask(asked) == reply(asked, b"up")
            assert clients.ask_by_tcp(asked) == [reply(asked, b"up")]
    assert [data[2:] for data in seen] == [asked[2:], asked[2:]]
    assert {data[:2] for data in seen} != {asked[:2]}


def test_a_server_that_is_silent_or_lies_is_passed_over(
    names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim_dns, "TIMEOUT_S", 0.1)

    def lie(data: bytes) -> bytes:
        return reply(query("other.org", int.from_bytes(data[:2], "big")), b"lie")

    with upstream(lambda data: reply(data, b"up")) as port:
        monkeypatch.setattr(shim_dns, "UPSTREAM_PORT", port)
        with upstream(lie, "127.0.0.2", port), upstream(lambda _data: None, "127.0.0.3", port):
            servers = ("127.0.0.9", "127.0.0.2", "127.0.0.3", "127.0.0.1")
            with resolver(names, servers) as clients:
                asked = query("example.org")
                assert clients.ask(asked) == reply(asked, b"up")
                assert clients.ask_by_tcp(asked) == [reply(asked, b"up")]


@pytest.mark.parametrize(("code", "another"), [(2, True), (5, True), (3, False)])
def test_a_server_that_fails_is_passed_over_and_one_that_denies_is_believed(
    names: Path, monkeypatch: pytest.MonkeyPatch, code: int, another: bool
) -> None:
    def fail(data: bytes) -> bytes:
        answer = reply(data, b"")
        return answer[:3] + bytes((answer[3] & 0xF0 | code,)) + answer[4:]

    with upstream(lambda data: reply(data, b"up")) as port:
        monkeypatch.setattr(shim_dns, "UPSTREAM_PORT", port)
        with upstream(fail, "127.0.0.2", port):
            asked = query("example.org")
            expected = reply(asked, b"up") if another else fail(asked)
            with resolver(names, ("127.0.0.2", "127.0.0.1")) as clients:
                assert clients.ask(asked) == expected
                assert clients.ask_by_tcp(asked) == [expected]
            with resolver(names, ("127.0.0.2",)) as clients:
                assert clients.ask(asked) == fail(asked)


def test_without_an_answer_there_is_a_failure(names: Path) -> None:
    with resolver(names, ()) as clients:
        found = clients.ask(query("example.org"))
        assert found[3] & 0x0F == 2


def test_junk_is_dropped(names: Path) -> None:
    with resolver(names, ()) as clients:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(clients._udp)
            for junk in (b"", b"x", b"\0" * 11, query("web")[:-3]):
                client.send(junk)
        assert clients.ask(query("web")).endswith(socket.inet_aton("10.1.2.3"))
