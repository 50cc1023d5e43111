"""The HTTP client against scripted bytes."""

import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.client.api import Api, ApiError, encode_query
from tiffin.client.endpoint import Endpoint, EndpointError, parse_endpoint
from tiffin.client.http import ConnectFailed, ProtocolFault, Response, send_request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def respond(*parts: bytes, has_body: bool = True) -> Response:
    """A response whose bytes come in the given parts, after which the peer closes."""
    ours, theirs = socket.socketpair()

    def play() -> None:
        with theirs:
            for part in parts:
                theirs.sendall(part)

    threading.Thread(target=play).start()
    return Response(ours, has_body=has_body)


class Scripted:
    """A socket whose `recv` gives one script entry at a time."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)

    def recv(self, _size: int) -> bytes:
        return self.parts.pop(0) if self.parts else b""

    def close(self) -> None:
        self.parts.clear()


def scripted(*parts: bytes, has_body: bool = True) -> Response:
    return Response(Scripted(*parts), has_body=has_body)  # type: ignore[arg-type]


WHOLE = {
    "length": b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 12}',
    "chunked": CHUNKED + b'4\r\n{"a"\r\n5;x=y\r\n: 12}\r\n0\r\nTrailer: x\r\n\r\n',
    "until the end": b'HTTP/1.1 200 OK\r\n\r\n{"a": 12}',
    "after a 100": b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"a": 12}',
}


@pytest.mark.parametrize("name", WHOLE)
def test_bodies_split_at_every_byte(name: str) -> None:
    data = WHOLE[name]
    for at in range(1, len(data)):
        assert scripted(data[:at], data[at:]).json() == {"a": 12}
    assert scripted(*(data[i : i + 1] for i in range(len(data)))).json() == {"a": 12}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9",
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        CHUNKED,
        CHUNKED + b"xyz\r\n",
        CHUNKED + b"\r\n\r\n",
        CHUNKED + b"-4\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"4\r\nab",
        CHUNKED + b"2\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nab\r\n",
    ],
)
def test_what_is_malformed_or_cut_off(data: bytes) -> None:
    with pytest.raises(ProtocolFault):
        scripted(data).read()


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_are_read_or_refused(parts: list[bytes]) -> None:
    try:
        scripted(b"HTTP/1.1 200 OK\r\n", *[part for part in parts if part]).read()
    except ProtocolFault:
        pass


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(1, 50))
def test_chunks_come_through(blocks: list[bytes], piece: int) -> None:
    data = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(b), b) for b in blocks) + b"0\r\n\r\n"
    cut = [data[i : i + piece] for i in range(0, len(data), piece)]
    assert scripted(*cut).read() == b"".join(blocks)


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body(status: int) -> None:
    assert scripted(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status).json() is None


def test_an_answer_to_head_has_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nApi-Version: 1.44\r\n\r\n"
    response = scripted(head, has_body=False)
    assert response.read() == b""
    assert response.head.headers["api-version"] == "1.44"


def test_a_hijacked_connection_keeps_its_early_bytes() -> None:
    response = scripted(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nearly", b" late")
    assert (response.status, response.leftover) == (101, b"early")
    assert response.leftover == b""


def test_lines_and_objects() -> None:
    body = b'{"a":1}\n\n{"b":2}\n{"c":3}'
    data = b"HTTP/1.1 200 OK\r\n\r\n" + body
    for at in range(1, len(data)):
        assert list(scripted(data[:at], data[at:]).objects()) == [{"a": 1}, {"b": 2}, {"c": 3}]


def sent(*arguments: object) -> bytes:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            send_request(ours, *arguments)  # type: ignore[arg-type]
        data = b""
        while block := theirs.recv(1 << 16):
            data += block
    return data


def test_requests() -> None:
    assert sent("GET", "/x", {"A": "b"}) == b"GET /x HTTP/1.1\r\nHost: docker\r\nA: b\r\n\r\n"
    assert sent("POST", "/x", {}).endswith(b"\r\nContent-Length: 0\r\n\r\n")
    assert sent("POST", "/x", {}, b"body").endswith(b"\r\nContent-Length: 4\r\n\r\nbody")
    chunked = sent("PUT", "/x", {}, iter([b"ab", b"", b"c" * 17]))
    assert chunked.endswith(
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n11\r\n" + b"c" * 17 + b"\r\n0\r\n\r\n"
    )


class Daemon:
    """Answers each connection with the next scripted response; keeps the requests' first lines."""

    def __init__(self, path: str, *answers: bytes) -> None:
        self.requests: list[str] = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self._serve, args=(answers,))
        self.thread.start()

    def _serve(self, answers: tuple[bytes, ...]) -> None:
        with self.listener:
            for answer in answers:
                connection, _ = self.listener.accept()
                with connection:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(65536)
                    self.requests.append(head.partition(b"\r\n")[0].decode())
                    connection.sendall(answer)


def answer(status: int, body: object, *headers: str) -> bytes:
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def scripted_api(tmp_path: object, *answers: bytes, version: str = "") -> tuple[Api, Daemon]:
    path = f"{tmp_path}/s"
    return Api(Endpoint("unix", path), version), Daemon(path, *answers)


def test_an_older_daemon_is_spoken_to_in_its_version(tmp_path: object) -> None:
    refusal = {"message": "client version 1.50 is too new. Maximum supported API version is 1.43"}
    api, daemon = scripted_api(tmp_path, answer(400, refusal), answer(200, []), answer(200, []))
    assert api.get("/images/json") == []
    assert api.get("/volumes") == []
    daemon.thread.join()
    assert daemon.requests[1:] == ["GET /v1.43/images/json HTTP/1.1", "GET /v1.43/volumes HTTP/1.1"]


def test_a_pinned_version_is_kept(tmp_path: object) -> None:
    refusal = {"message": "too new. Maximum supported API version is 1.43"}
    api, daemon = scripted_api(tmp_path, answer(400, refusal), version="1.47")
    with pytest.raises(ApiError, match="too new"):
        api.get("/info")
    daemon.thread.join()
    assert daemon.requests == ["GET /v1.47/info HTTP/1.1"]


def test_streams_ask_for_the_version_first(tmp_path: object) -> None:
    ping = b"HTTP/1.1 200 OK\r\nApi-Version: 1.44\r\nContent-Length: 0\r\n\r\n"
    api, daemon = scripted_api(tmp_path, ping, answer(200, None))
    api.call("POST", "/build", {"t": ["a", "b"]}, stream=iter([b"x"])).close()
    daemon.thread.join()
    assert daemon.requests == ["HEAD /_ping HTTP/1.1", "POST /v1.44/build?t=a&t=b HTTP/1.1"]


def test_errors_have_the_daemons_words(tmp_path: object) -> None:
    html = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>"
    api, daemon = scripted_api(tmp_path, answer(404, {"message": "No such container: x"}), html)
    with pytest.raises(ApiError, match="No such container: x") as caught:
        api.get("/containers/x/json")
    assert caught.value.status == 404
    with pytest.raises(ApiError, match="<html>"):
        api.get("/info")
    daemon.thread.join()


def test_nobody_there(tmp_path: object) -> None:
    api = Api(Endpoint("unix", f"{tmp_path}/none"))
    with pytest.raises(ConnectFailed, match="Cannot connect to the Docker daemon at unix:///"):
        api.get("/info")


def test_queries() -> None:
    query = {
        "a": True,
        "b": False,
        "c": None,
        "d": "",
        "e": 0,
        "f": "x y/&",
        "g": {"k": {"v": True}},
    }
    assert encode_query(query) == "?a=1&e=0&f=x%20y%2F%26&g=%7B%22k%22%3A%7B%22v%22%3Atrue%7D%7D"
    assert encode_query(None) == ""


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("unix:///a/b", ("unix", "/a/b", 0)),
        ("unix://", ("unix", "/var/run/docker.sock", 0)),
        ("tcp://h:1234", ("tcp", "h", 1234)),
        ("tcp://[::1]:99", ("tcp", "::1", 99)),
        ("tcp://:2375", ("tcp", "127.0.0.1", 2375)),
        ("h", ("tcp", "h", 2375)),
        ("ssh://me@far:2022", ("ssh", "me@far", 2022)),
    ],
)
def test_hosts(text: str, endpoint: tuple[str, str, int]) -> None:
    assert parse_endpoint(text)[:3] == endpoint


@pytest.mark.parametrize("text", ["fd://x", "npipe://x", "tcp://h:port"])
def test_hosts_that_are_none(text: str) -> None:
    with pytest.raises(EndpointError, match="unable to parse docker host"):
        parse_endpoint(text)


def test_a_body_over_a_real_socket() -> None:
    assert respond(CHUNKED, b"3\r\nabc\r\n", b"0\r\n\r\n").read() == b"abc"
