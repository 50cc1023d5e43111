"""HTTP/1.1 on one socket, as thin as the Engine API allows.

One connection per call, `Content-Length` or chunked bodies both ways, and the hijack: a response
after which the socket belongs to the caller. The standard library's client costs more time to import
than a whole command may take.
"""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tiffin.client.endpoint import Endpoint

BLOCK = 1 << 16


class ConnectFailed(Exception):
    """Nothing answers at the endpoint."""


class ProtocolFault(Exception):
    """The peer does not speak HTTP, or stopped in the middle."""


class Head(NamedTuple):
    """Status line and headers, the names in lower case."""

    status: int
    reason: str
    headers: dict[str, str]


class Response:
    """A response being read; the head is there, the body streams."""

    def __init__(self, sock: socket.socket, *, has_body: bool = True) -> None:
        self.socket = sock
        self._buffer = b""
        self.head = self._read_head()
        while 100 <= self.head.status < 200 and self.head.status != 101:
            self.head = self._read_head()
        self._has_body = has_body and self.head.status not in (204, 304)

    @property
    def status(self) -> int:
        """HTTP status code."""
        return self.head.status

    @property
    def leftover(self) -> bytes:
        """Bytes after the head that a hijacked connection has already received."""
        data, self._buffer = self._buffer, b""
        return data

    def read(self) -> bytes:
        """Return the whole body and close the connection."""
        data = b"".join(self.blocks())
        self.close()
        return data

    def json(self) -> Any:  # noqa: ANN401
        """Return the decoded body, None if there is none."""
        data = self.read()
        return json.loads(data) if data.strip() else None

    def blocks(self) -> Iterator[bytes]:
        """Yield the body as it comes."""
        if not self._has_body:
            return
        headers = self.head.headers
        if "chunked" in headers.get("transfer-encoding", ""):
            yield from self._chunks()
        elif "content-length" in headers:
            yield from self._exactly(_length(headers["content-length"]))
        else:
            while data := self._receive():
                yield data

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, without the newline."""
        rest = b""
        for block in self.blocks():
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def objects(self) -> Iterator[dict[str, Any]]:
        """Yield a stream of JSON objects, one a line."""
        for line in self.lines():
            if line.strip():
                yield json.loads(line)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def _read_head(self) -> Head:
        while b"\r\n\r\n" not in self._buffer:
            data = self.socket.recv(BLOCK)
            if not data:
                fault = getattr(self.socket, "fault", "") or "EOF"
                raise ProtocolFault(f"error during connect: {fault}")
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = raw.decode("latin-1").split("\r\n")
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise ProtocolFault(f"malformed HTTP response {first!r}")
        pairs = (line.partition(":") for line in rest)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Head(int(parts[1]), parts[2] if len(parts) > 2 else "", headers)

    def _receive(self) -> bytes:
        if self._buffer:
            return self.leftover
        return self.socket.recv(BLOCK)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            data = self._receive()
            if not data:
                raise ProtocolFault("unexpected EOF")
            data, self._buffer = data[:size], data[size:] + self._buffer
            size -= len(data)
            yield data

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = self._chunk_size()
            yield from self._exactly(size)
            if size == 0:
                while self._line():  # trailers
                    pass
                return
            if self._line():
                raise ProtocolFault("malformed chunk")

    def _chunk_size(self) -> int:
        text = self._line().split(b";")[0].strip()
        if not text or text.strip(b"0123456789abcdefABCDEF"):
            raise ProtocolFault(f"malformed chunk size {text!r}")
        return int(text, 16)

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            data = self.socket.recv(BLOCK)
            if not data:
                raise ProtocolFault("unexpected EOF")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line


def _length(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ProtocolFault(f"malformed Content-Length {text!r}")
    return int(text)


def connect(endpoint: Endpoint, timeout_s: float | None = None) -> socket.socket:
    """Open a stream to the daemon; ConnectFailed."""
    try:
        if endpoint.scheme == "unix":
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(timeout_s)
            try:
                sock.connect(endpoint.address)
            except BaseException:
                sock.close()
                raise
        elif endpoint.scheme == "ssh":
            return _connect_ssh(endpoint)
        else:
            sock = socket.create_connection((endpoint.address, endpoint.port), timeout_s or 30)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
    except OSError as error:
        raise ConnectFailed(os.strerror(error.errno) if error.errno else str(error)) from error
    return _wrap_tls(sock, endpoint) if endpoint.tls else sock


def _wrap_tls(network: socket.socket, endpoint: Endpoint) -> socket.socket:
    from tiffin.client.tls import open_tunnel  # 10 ms that only TLS users pay

    assert endpoint.tls is not None
    try:
        return open_tunnel(network, endpoint.address, endpoint.tls)
    except OSError as error:  # ssl.SSLError is one
        network.close()
        if verdict := getattr(error, "verify_message", ""):
            raise ConnectFailed(f"tls: failed to verify certificate: {verdict}") from error
        raise ConnectFailed(f"tls: {getattr(error, 'reason', '') or error}") from error


def _connect_ssh(endpoint: Endpoint) -> socket.socket:
    """Run `docker system dial-stdio` (or tiffin's) at the other end of ssh, on a socket pair."""
    import subprocess  # only ssh users pay

    ours, theirs = socket.socketpair()
    remote = (
        "command -v tiffin >/dev/null && exec tiffin system dial-stdio; "
        "exec docker system dial-stdio"
    )
    port = ["-p", str(endpoint.port)] if endpoint.port else []
    if endpoint.path:
        remote = f"tiffin --host unix://{endpoint.path} system dial-stdio"
    with theirs:
        # Its life is the socket's: it ends when either side closes.
        command = ["ssh", *port, "--", endpoint.address, remote]
        subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno())
    return ours


def send_request(
    sock: socket.socket,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | Iterable[bytes] | None = None,
) -> None:
    """Write one request; an iterable body is sent in chunks."""
    lines = [f"{method} {target} HTTP/1.1", "Host: docker"]
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    if isinstance(body, bytes):
        lines.append(f"Content-Length: {len(body)}")
    elif body is not None:
        lines.append("Transfer-Encoding: chunked")
    elif method in ("POST", "PUT"):
        lines.append("Content-Length: 0")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if isinstance(body, bytes):
        sock.sendall(head + body)
        return
    sock.sendall(head)
    for block in body or ():
        if block:
            sock.sendall(b"%x\r\n" % len(block))
            sock.sendall(block)
            sock.sendall(b"\r\n")
    if body is not None:
        sock.sendall(b"0\r\n\r\n")
