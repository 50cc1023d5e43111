"""A host of its own for tests of networks: namespaces, an uplink, and servers in them.

    @in_new_host
    def test_something(host: Host) -> None: …

The test runs in a forked process with a network namespace of its own, so that it neither sees nor
changes the machine's; whatever it leaves behind goes when the process ends.
"""

import ctypes
import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface
from typing import TypeVar

from tiffin.linux import nftables, rtnetlink
from tiffin.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Channel, open_socket
from tiffin.networks.driver import Sandbox

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
HOST_ADDRESS, OUTSIDE_ADDRESS = "203.0.113.2", "203.0.113.1"
TIMEOUT_S = 5.0
DENIED_S = 0.4
"""How long nothing may arrive before a packet counts as dropped."""

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace with a thread in it that runs what it is given."""

    def __init__(self) -> None:
        self._closed = False
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()
        self.netns = self.call(
            lambda: os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        )
        self.rtnetlink = self.call(lambda: open_socket(NETLINK_ROUTE))
        self.nfnetlink = self.call(lambda: open_socket(NETLINK_NETFILTER))

    def call(self, function: Callable[[], T]) -> T:
        """Run a function in the namespace."""
        results: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue()

        def work() -> None:
            try:
                results.put((function(), None))
            except BaseException as error:  # noqa: BLE001  # raised again in the caller
                results.put((None, error))

        self._work.put(work)
        result, error = results.get(timeout=TIMEOUT_S * 4)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def socket(self, family: int, kind: int) -> socket.socket:
        """Make a socket in the namespace."""
        return self.call(lambda: socket.socket(family, kind))

    def sandbox(self, dns_udp_port: int = 0, dns_tcp_port: int = 0) -> Sandbox:
        """Return it as the shim hands it over."""
        return Sandbox(self.netns, self.rtnetlink, self.nfnetlink, dns_udp_port, dns_tcp_port)

    def close(self) -> None:
        """End the thread and let the namespace go."""
        if self._closed:
            return
        self._closed = True
        self._work.put(None)
        self.rtnetlink.close()
        self.nfnetlink.close()
        os.close(self.netns)

    def _run(self) -> None:
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        while (work := self._work.get()) is not None:
            work()


@dataclass
class Host:
    """The host of a test: `eth0` leads to `outside`, another namespace."""

    outside: Namespace
    rt: Channel
    nf: Channel
    stack: ExitStack = field(default_factory=ExitStack)

    def namespace(self) -> Namespace:
        """Make a container's namespace."""
        namespace = Namespace()
        self.stack.callback(namespace.close)
        return namespace

    def links(self) -> set[str]:
        """Return the names of all interfaces."""
        return {link.name for link in rtnetlink.dump_links(self.rt)}

    def tables(self) -> list[str]:
        """Return the names of all nftables tables."""
        return nftables.dump_tables(self.nf)

    def serve(
        self, where: Namespace | None, address: str, port: int, *, kind: int = socket.SOCK_STREAM
    ) -> None:
        """Answer every client with its own address, as the server sees it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        server = where.socket(family, kind) if where else socket.socket(family, kind)
        if kind == socket.SOCK_STREAM:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind((address, port))
        if kind == socket.SOCK_STREAM:
            server.listen()
        target = _serve_stream if kind == socket.SOCK_STREAM else _serve_datagrams
        threading.Thread(target=target, args=(server,), daemon=True).start()


def ask(
    where: Namespace | None,
    address: str,
    port: int,
    *,
    kind: int = socket.SOCK_STREAM,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Connect from a namespace (None: the host) and return what the server saw; OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    client = where.socket(family, kind) if where else socket.socket(family, kind)
    with client:
        client.settimeout(timeout_s)
        client.connect((address, port))
        client.send(b"?")
        return client.recv(200).decode()


def is_reachable(
    where: Namespace | None, address: str, port: int, *, kind: int = socket.SOCK_STREAM
) -> bool:
    """Tell whether a server answers, quickly."""
    try:
        ask(where, address, port, kind=kind, timeout_s=DENIED_S)
    except OSError:
        return False
    return True


def in_new_host(test: Callable[[Host], None]) -> Callable[[], None]:
    """Run a test in a process with a network of its own."""

    def run() -> None:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            os._exit(_run(test))
        _, status = os.waitpid(pid, 0)
        assert status == 0, "the test failed in its process; the traceback is above"

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def _run(test: Callable[[Host], None]) -> int:
    try:
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        host = _make_host()
        with host.stack:
            test(host)
    except BaseException:  # noqa: BLE001  # told by the exit status
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def _make_host() -> Host:
    host = Host(Namespace(), rtnetlink.open_channel(), nftables.open_channel())
    outside = Channel(host.outside.rtnetlink)
    host.rt.execute(
        [
            rtnetlink.set_link(rtnetlink.LOOPBACK_INDEX, up=True),
            rtnetlink.add_veth("eth0", "uplink", netns=host.outside.netns),
            rtnetlink.set_link("eth0", up=True, mtu=1400),
        ]
    )
    _address(host.rt, "eth0", HOST_ADDRESS)
    _address(outside, "uplink", OUTSIDE_ADDRESS)
    host.rt.execute([rtnetlink.default_route(ip_address(OUTSIDE_ADDRESS))])
    return host


def _address(channel: Channel, name: str, address: str) -> None:
    link = rtnetlink.find_link(channel, name)
    assert link is not None
    channel.execute(
        [
            rtnetlink.set_link(link.index, up=True),
            rtnetlink.add_address(link.index, ip_interface(f"{address}/24")),
        ]
    )


def _serve_stream(server: socket.socket) -> None:
    while True:
        client, peer = server.accept()
        with client:
            client.recv(10)
            client.send(str(peer[0]).encode())


def _serve_datagrams(server: socket.socket) -> None:
    while True:
        _data, peer = server.recvfrom(100)
        server.sendto(str(peer[0]).encode(), peer)
