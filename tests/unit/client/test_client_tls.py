"""The tunnel: half-close over TLS both ways, and its ends."""

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tiffin.client.endpoint import TlsFiles
from tiffin.client.tls import open_tunnel

Serve = Callable[[ssl.SSLSocket], None]


class Setup:
    """A certificate authority, a server's context, and the client's files."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        authority.configure_trust(self.context)
        client = authority.issue_cert("me@example.org")
        self.files = TlsFiles(
            str(directory / "ca"), str(directory / "cert"), str(directory / "key")
        )
        authority.cert_pem.write_to_path(self.files.ca)
        client.cert_chain_pems[0].write_to_path(self.files.certificate)
        client.private_key_pem.write_to_path(self.files.key)

    def connect(self, serve: Serve, name: str = "localhost", **changes: object) -> socket.socket:
        ours, theirs = socket.socketpair()

        def run() -> None:
            try:
                with self.context.wrap_socket(theirs, server_side=True) as wrapped:
                    serve(wrapped)
            except OSError:
                theirs.close()

        self.thread = threading.Thread(target=run)
        self.thread.start()
        try:
            return open_tunnel(ours, name, self.files._replace(**changes))  # type: ignore[arg-type]
        except BaseException:
            ours.close()
            self.thread.join()
            raise


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return Setup(tmp_path_factory.mktemp("tls"))


def read_all(sock: socket.socket) -> bytes:
    blocks = []
    while block := sock.recv(1 << 16):
        blocks.append(block)
    return b"".join(blocks)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_answer_comes_after_our_end(setup: Setup, version: ssl.TLSVersion) -> None:
    def serve(peer: ssl.SSLSocket) -> None:
        data = b""
        while block := peer.recv(1 << 16):
            data += block
        peer.sendall(hashlib.sha256(data).hexdigest().encode() + b"x" * 1_000_000)

    setup.context.minimum_version = setup.context.maximum_version = version
    data = os.urandom(3_000_000)
    with setup.connect(serve) as tunnel:
        tunnel.sendall(data)
        tunnel.shutdown(socket.SHUT_WR)
        answer = read_all(tunnel)
    assert answer[:64].decode() == hashlib.sha256(data).hexdigest()
    assert len(answer) == 1_000_064
    setup.thread.join()


def test_both_ways_at_once(setup: Setup) -> None:
    def serve(peer: ssl.SSLSocket) -> None:
        while block := peer.recv(1 << 16):
            peer.sendall(block)

    def write() -> None:
        tunnel.sendall(data)
        tunnel.shutdown(socket.SHUT_WR)

    data = os.urandom(5_000_000)
    with setup.connect(serve) as tunnel:
        writer = threading.Thread(target=write)
        writer.start()
        assert read_all(tunnel) == data
        writer.join()
    setup.thread.join()


def test_closing_ends_the_connection(setup: Setup) -> None:
    seen = threading.Event()

    def serve(peer: ssl.SSLSocket) -> None:
        peer.recv(1)
        seen.set()

    setup.connect(serve).close()
    assert seen.wait(10)
    setup.thread.join()


def test_a_server_with_another_name_is_refused(setup: Setup) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        setup.connect(lambda _peer: None, "elsewhere")
    with setup.connect(lambda peer: peer.sendall(b"hi"), "elsewhere", verify=False) as tunnel:
        assert read_all(tunnel) == b"hi"
    setup.thread.join()
