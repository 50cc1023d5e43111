"""TLS behind a plain socket.

What reads and writes a connection (HTTP, attached sessions) needs `poll`, half-close and reads after it;
`ssl.SSLSocket` has none of these. So a thread carries the bytes between the network and one end of a
socket pair, and the caller gets the other end. Shutting that end down for writing sends a close_notify
(RFC 8446 §6.1), after which the other direction goes on.
"""

import contextlib
import select
import socket
import ssl
import threading

from tiffin.client.endpoint import TlsFiles

BLOCK = 1 << 16
HIGH_WATER = 1 << 18


class TunnelEnd(socket.socket):
    """The caller's end; `fault` says why the network's side ended, if not in good order."""

    fault = ""


def open_tunnel(network: socket.socket, name: str, files: TlsFiles) -> TunnelEnd:
    """Shake hands on `network`, which is taken over, and return a plain socket; ssl.SSLError, OSError."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = _context(files).wrap_bio(incoming, outgoing, server_hostname=name)
    while True:
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            network.sendall(outgoing.read())
            data = network.recv(BLOCK)
            if not data:
                raise ConnectionResetError(0, "EOF during the TLS handshake") from None
            incoming.write(data)
            continue
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                network.sendall(outgoing.read())
            raise
        break
    ours, theirs = socket.socketpair()
    end = TunnelEnd(fileno=ours.detach())
    network.setblocking(False)
    theirs.setblocking(False)
    pump = _Pump(session, incoming, outgoing, network, theirs, end)
    threading.Thread(target=pump.run, daemon=True).start()
    return end


def _context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca or None)
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if files.certificate:
        context.load_cert_chain(files.certificate, files.key or None)
    return context


class _Pump:
    def __init__(
        self, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO,
        network: socket.socket, plain: socket.socket, end: TunnelEnd,
    ) -> None:  # fmt: skip
        self._session, self._incoming, self._outgoing = session, incoming, outgoing
        self._network, self._plain, self._end = network, plain, end
        self._to_network = bytearray(outgoing.read())
        self._to_plain = bytearray()
        self._plain_open = self._network_open = True

    def run(self) -> None:
        """Carry bytes until the network's side has ended, or the caller has closed its own."""
        with self._network, self._plain:
            try:
                self._decrypt()
                while self._network_open or self._to_plain:
                    if not self._step():
                        return
            except (OSError, ssl.SSLError) as error:
                self._end.fault = str(getattr(error, "reason", "") or error)

    def _step(self) -> bool:
        poll = select.poll()
        poll.register(self._plain, self._plain_events())
        if self._network_open:
            poll.register(self._network, self._network_events())
        ready = dict(poll.poll())
        plain, network = (ready.get(sock.fileno(), 0) for sock in (self._plain, self._network))
        if plain & select.POLLHUP and not self._to_plain and not plain & select.POLLIN:
            return False
        if plain & select.POLLIN and self._plain_events() & select.POLLIN:
            self._encrypt(self._plain.recv(BLOCK))
        if network & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._take(self._network.recv(BLOCK))
        self._flush()
        return True

    def _plain_events(self) -> int:
        wants = self._plain_open and len(self._to_network) < HIGH_WATER
        return (select.POLLIN if wants else 0) | (select.POLLOUT if self._to_plain else 0)

    def _network_events(self) -> int:
        wants = len(self._to_plain) < HIGH_WATER
        return (select.POLLIN if wants else 0) | (select.POLLOUT if self._to_network else 0)

    def _encrypt(self, data: bytes) -> None:
        if data:
            self._session.write(data)
        else:
            self._plain_open = False
            # The peer's own close_notify is not waited for: it may have much to say yet.
            with contextlib.suppress(ssl.SSLWantReadError):
                self._session.unwrap()
        self._to_network += self._outgoing.read()

    def _take(self, data: bytes) -> None:
        if not data:
            self._network_open = False
            return
        self._incoming.write(data)
        self._decrypt()

    def _decrypt(self) -> None:
        try:
            while data := self._session.read(BLOCK):
                self._to_plain += data
            self._network_open = False
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._network_open = False
        self._to_network += self._outgoing.read()

    def _flush(self) -> None:
        for buffer, sock in ((self._to_network, self._network), (self._to_plain, self._plain)):
            if buffer:
                with contextlib.suppress(BlockingIOError):
                    del buffer[: sock.send(buffer, socket.MSG_NOSIGNAL)]
