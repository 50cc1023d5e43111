"""Drivers against servers that listen: what arrives, and what becomes of it when they go."""

import contextlib
import gzip
import json
import os
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.logs.logs_receivers import datagram_server, tcp_server

from tiffin.logs import gelf, relay
from tiffin.logs.delivery import Delivery
from tiffin.logs.dial import DialError
from tiffin.logs.fluentd import FluentdDriver
from tiffin.logs.fluentd_options import parse_fluentd
from tiffin.logs.gelf import CHUNK_SIZE, GelfDriver
from tiffin.logs.gelf_options import parse_gelf
from tiffin.logs.journald import JournaldDriver, journal_name
from tiffin.logs.messages import PARTIAL_SIZE, Message, MessageSplitter, Partial
from tiffin.logs.remote import LogSource, RemoteDriver, Retry
from tiffin.logs.syslog import SyslogDriver
from tiffin.logs.syslog_options import parse_syslog

SOURCE = LogSource(
    id="0123456789abcdef" * 4,
    name="web",
    image_id="sha256:77",
    image_name="app:1",
    command="serve -x",
    created="2024-05-06T07:08:09Z",
    tag="web/0123",
    attributes={"team.name": "a", "_x": "b"},
)
TIME_NS = 1_700_000_000_123_456_789


def out(text: bytes, partial: Partial | None = None) -> Message:
    return Message(TIME_NS, "stdout", text, partial)


def err(text: bytes) -> Message:
    return Message(TIME_NS, "stderr", text)


def send(driver: RemoteDriver, *messages: Message) -> None:
    with contextlib.closing(driver):
        driver.connect()
        waiting = deque(messages)
        driver.send(waiting)
        assert not waiting


# Messages.


@given(
    st.lists(st.sampled_from([2, 0, 1, 9000, PARTIAL_SIZE, PARTIAL_SIZE - 1, 40_000])),
    st.booleans(),
    st.integers(10, 50_000),
)
def test_messages_hold_all_output_however_it_comes(
    lengths: list[int], is_terminated: bool, step: int
) -> None:
    data = b"\n".join(b"x" * length for length in lengths) + b"\n" * is_terminated
    splitter = MessageSplitter("stdout")
    found = [
        message
        for at in range(0, len(data), step)
        for message in splitter.feed(data[at : at + step], at)
    ]
    found += splitter.finish(len(data))
    text, ordinal = b"", 0
    for message in found:
        assert len(message.line) <= PARTIAL_SIZE
        partial = message.partial
        text += message.line + (b"" if partial is not None and not partial.last else b"\n")
        ordinal = ordinal + 1 if partial is not None else 0
        if partial is not None:
            assert partial.ordinal == ordinal
            ordinal = 0 if partial.last else ordinal
    assert text == data


# journald.


def fields_of(data: bytes) -> dict[str, bytes]:
    """The native protocol, read independently of how it is written."""
    found = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = struct.unpack("<Q", rest[:8])[0]
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
        else:
            data = rest
        found[name.decode()] = value
    return found


def test_journald_gets_the_fields_of_docker(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "journal") as server:
        part = Partial("aa", 2, last=False)
        send(
            JournaldDriver(SOURCE, str(tmp_path / "journal")),
            out(b"hello"), err(b"with\nnewline"), out(b"part", part),
            out(b"end", Partial("aa", 3, last=True)),
        )  # fmt: skip
        first, second, third, last = (fields_of(server.recv(1 << 16)) for _ in range(4))
    epoch = first.pop("CONTAINER_LOG_EPOCH")
    assert first == {
        "PRIORITY": b"6",
        "MESSAGE": b"hello",
        "CONTAINER_ID": b"0123456789ab",
        "CONTAINER_ID_FULL": SOURCE.id.encode(),
        "CONTAINER_NAME": b"web",
        "CONTAINER_TAG": b"web/0123",
        "IMAGE_NAME": b"app:1",
        "SYSLOG_IDENTIFIER": b"web/0123",
        "SYSLOG_TIMESTAMP": b"2023-11-14T22:13:20.123456789Z",
        "CONTAINER_LOG_ORDINAL": b"1",
        "TEAM_NAME": b"a",
        "X": b"b",
    }
    assert (second["PRIORITY"], second["MESSAGE"]) == (b"3", b"with\nnewline")
    assert (second["CONTAINER_LOG_EPOCH"], second["CONTAINER_LOG_ORDINAL"]) == (epoch, b"2")
    assert third["CONTAINER_PARTIAL_MESSAGE"] == b"true"
    assert (third["CONTAINER_PARTIAL_ID"], third["CONTAINER_PARTIAL_ORDINAL"]) == (b"aa", b"2")
    assert third["CONTAINER_PARTIAL_LAST"] == b"false"
    assert last["CONTAINER_PARTIAL_LAST"] == b"true"
    assert "CONTAINER_PARTIAL_MESSAGE" not in last


def test_what_is_too_large_for_a_datagram_comes_as_a_sealed_file(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "journal") as server:
        large = b"x" * 300_000
        send(JournaldDriver(SOURCE, str(tmp_path / "journal")), out(large), out(b"small"))
        _data, (fd,), _flags, _address = socket.recv_fds(server, 1 << 16, 1)
        try:
            assert fields_of(os.pread(fd, 1 << 20, 0))["MESSAGE"] == large
            with pytest.raises(PermissionError):
                os.pwrite(fd, b"y", 0)
        finally:
            os.close(fd)
        assert fields_of(server.recv(1 << 16))["MESSAGE"] == b"small"


def test_without_a_journal_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(DialError, match="journald is not enabled on this host"):
        JournaldDriver(SOURCE, str(tmp_path / "none")).connect()


@given(st.text())
def test_names_of_fields_are_valid(text: str) -> None:
    assert re.fullmatch(r"([A-Z0-9][A-Z0-9_]*)?", journal_name(text))


# syslog.

MODERN = r"20\d\d-\d\d-\d\dT[\d:]{8}"
STAMP = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("", rf"<30>{STAMP} web/0123\[\d+\]: hello\n"),
        ("rfc3164", rf"<30>{STAMP} \S+ web/0123\[\d+\]: hello\n"),
        ("rfc5424", rf"<30>1 {MODERN}(Z|[+-][\d:]+) \S+ web/0123 \d+ web/0123 - hello\n"),
        (
            "rfc5424micro",
            rf"<30>1 {MODERN}\.123456(Z|[+-][\d:]+) \S+ web/0123 \d+ web/0123 - hello\n",
        ),
    ],
)  # fmt: skip
def test_syslog_formats(form: str, pattern: str) -> None:
    with datagram_server() as server:
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        options = parse_syslog({"syslog-address": address, "syslog-format": form})
        send(SyslogDriver(options, SOURCE.tag), out(b""), out(b"hello"), err(b"bad"))
        assert re.fullmatch(pattern, server.recv(4096).decode())
        assert server.recv(4096).startswith(b"<27>")


def test_syslog_over_unix_sockets(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "log") as server:
        options = {"syslog-address": f"unixgram://{tmp_path}/log", "syslog-facility": "local3"}
        send(SyslogDriver(parse_syslog(options), "t"), out(b"hello"))
        assert server.recv(4096).startswith(b"<158>")
    with pytest.raises(DialError, match=r"dial unix .*: connect: connection refused"):
        SyslogDriver(parse_syslog({"syslog-address": f"unix://{tmp_path}/log"}), "t").connect()


def test_a_dead_udp_server_is_no_fault() -> None:
    with datagram_server() as server:
        options = parse_syslog({"syslog-address": f"udp://127.0.0.1:{server.getsockname()[1]}"})
    driver = SyslogDriver(options, "t")
    with contextlib.closing(driver):
        driver.connect()
        for _ in range(5):
            with contextlib.suppress(ConnectionRefusedError):
                driver.send(deque([out(b"hello")]))


def test_syslog_over_tls_counts_its_messages(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = tcp_server(wrap=lambda peer: context.wrap_socket(peer, server_side=True))
    options = {
        "syslog-address": f"tcp+tls://127.0.0.1:{server.port}",
        "syslog-format": "rfc5424",
        "syslog-tls-ca-cert": str(tmp_path / "ca.pem"),
    }
    with contextlib.closing(server):
        send(SyslogDriver(parse_syslog(options), "t"), out(b"hello"), out(b"again"))
        received = server.wait_for(b"again\n").decode()
    first, second = re.findall(r"(\d+) (<30>1 [^\n]*\n)", received)
    assert (int(first[0]), int(second[0])) == (len(first[1]), len(second[1]))


def test_a_server_with_another_authority_is_refused(tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    def wrap(peer: socket.socket) -> socket.socket:
        try:
            return context.wrap_socket(peer, server_side=True)
        except OSError:
            return peer

    server = tcp_server(wrap=wrap)
    address = {"syslog-address": f"tcp+tls://127.0.0.1:{server.port}"}
    with contextlib.closing(server):
        with pytest.raises(DialError, match="verify"):
            SyslogDriver(parse_syslog(address), "t").connect()
        missing = address | {"syslog-tls-ca-cert": str(tmp_path / "none.pem")}
        with pytest.raises(DialError, match="could not read CA certificate"):
            SyslogDriver(parse_syslog(missing), "t").connect()
        send(SyslogDriver(parse_syslog(address | {"syslog-tls-skip-verify": ""}), "t"), out(b"x"))
        server.wait_for(b"x\n")


# fluentd.


def events_of(data: bytes) -> list[Any]:
    """Decoded by another codec than ours."""
    found = []
    decoder = msgspec.msgpack.Decoder()
    at = 0
    while at < len(data):
        # Values carry no lengths; the shortest prefix that is one is taken.
        for end in range(at + 1, len(data) + 1):
            with contextlib.suppress(msgspec.DecodeError):
                found.append(decoder.decode(data[at:end]))
                at = end
                break
        else:
            raise AssertionError("what is left is no value")
    return found


def test_fluentd_gets_the_records_of_docker() -> None:
    server = tcp_server()
    options = {"fluentd-address": f"127.0.0.1:{server.port}"}
    with contextlib.closing(server):
        part = Partial("aa", 1, last=True)
        send(
            FluentdDriver(parse_fluentd(options), SOURCE), out(b"hello"), err(b"p"), out(b"z", part)
        )
        events = events_of(server.wait_for(b"partial_last\xa4true"))
    assert events[0] == [
        "web/0123",
        TIME_NS // 10**9,
        {
            "container_id": SOURCE.id,
            "container_name": "/web",
            "source": "stdout",
            "log": "hello",
            "team.name": "a",
            "_x": "b",
        },
        {},
    ]
    assert events[1][2]["source"] == "stderr"
    assert events[2][2]["partial_id"] == "aa"
    assert (events[2][2]["partial_ordinal"], events[2][2]["partial_last"]) == ("1", "true")


def test_fluentd_acknowledges_and_keeps_nanoseconds() -> None:
    def answer(peer: socket.socket, data: bytes) -> None:
        for event in events_of(data):
            peer.sendall(msgspec.msgpack.encode({"ack": event[3]["chunk"]}))

    server = tcp_server(answer)
    options = {
        "fluentd-address": f"tcp://127.0.0.1:{server.port}",
        "fluentd-request-ack": "true",
        "fluentd-sub-second-precision": "1",
    }
    with contextlib.closing(server):
        send(FluentdDriver(parse_fluentd(options), SOURCE), out(b"one"), out(b"two"))
        first, second = events_of(bytes(server.received))
    assert first[1] == msgspec.msgpack.Ext(0, struct.pack(">II", *divmod(TIME_NS, 10**9)))
    assert first[3]["chunk"] != second[3]["chunk"]


def test_a_wrong_acknowledgement_is_none() -> None:
    server = tcp_server(lambda peer, _data: peer.sendall(msgspec.msgpack.encode({"ack": "odd"})))
    options = {"fluentd-address": f"127.0.0.1:{server.port}", "fluentd-request-ack": "true"}
    driver = FluentdDriver(parse_fluentd(options), SOURCE)
    waiting = deque([out(b"one")])
    with contextlib.closing(server), contextlib.closing(driver):
        driver.connect()
        with pytest.raises(ConnectionAbortedError, match="ack"):
            driver.send(waiting)
    assert waiting


# GELF.


@pytest.mark.parametrize("kind", ["gzip", "zlib", "none"])
def test_gelf_over_udp(kind: str) -> None:
    unpackers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress, "zlib": zlib.decompress, "none": bytes,
    }  # fmt: skip
    unpack = unpackers[kind]
    with datagram_server() as server:
        address = f"udp://127.0.0.1:{server.getsockname()[1]}"
        options = parse_gelf({"gelf-address": address, "gelf-compression-type": kind})
        long = os.urandom(6000).hex().encode()
        send(GelfDriver(options, SOURCE), out(b""), err(b"hello"), out(long))
        record = json.loads(unpack(server.recv(4096)))
        chunks: dict[int, bytes] = {}
        count = 1
        while len(chunks) < count:
            data = server.recv(4096)
            assert len(data) <= CHUNK_SIZE
            assert data[:2] == b"\x1e\x0f"
            number, count = data[10], data[11]
            chunks[number] = data[12:]
        whole = json.loads(unpack(b"".join(chunks[number] for number in sorted(chunks))))
    assert record == {
        "version": "1.1",
        "host": socket.gethostname(),
        "short_message": "hello",
        "timestamp": 1700000000.123,
        "level": 3,
        "_container_id": SOURCE.id,
        "_container_name": "web",
        "_image_id": "sha256:77",
        "_image_name": "app:1",
        "_command": "serve -x",
        "_created": "2024-05-06T07:08:09Z",
        "_tag": "web/0123",
        "_team.name": "a",
        "_x": "b",
    }
    assert whole["short_message"].encode() == long
    assert gelf.datagrams(b"x" * 200_000) == []


def test_gelf_over_tcp() -> None:
    server = tcp_server()
    options = parse_gelf({"gelf-address": f"tcp://127.0.0.1:{server.port}"})
    with contextlib.closing(server):
        send(GelfDriver(options, SOURCE), out(b"one"), out(b"two"))
        records = server.wait_for(b'"two"').rstrip(b"\0").split(b"\0")
    assert [json.loads(record)["short_message"] for record in records] == ["one", "two"]
    with pytest.raises(DialError, match=r"gelf: cannot connect to GELF endpoint: .*refused"):
        GelfDriver(options, SOURCE).connect()


# Delivery.


class Server:
    """A driver that does what the test says."""

    retry = Retry(first_s=0.001, longest_s=0.001)
    buffer_limit = 1 << 20
    may_be_absent = False

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.takes = threading.Event()
        self.takes.set()
        self.is_up = True

    def connect(self) -> None:
        if not self.is_up:
            raise DialError("down")

    def send(self, messages: deque[Message]) -> None:
        self.takes.wait()
        if not self.is_up:
            raise ConnectionResetError
        while messages:
            self.received.append(messages.popleft().line)

    def close(self) -> None:
        pass


def test_what_comes_while_the_server_is_away_arrives_when_it_is_back() -> None:
    server, notes = Server(), list[Exception]()
    delivery = Delivery(server, limit=1 << 20, waits=True, note=notes.append)
    server.is_up = False
    delivery.start(connected=True)
    for number in range(100):
        delivery.put(out(b"%d" % number))
    server.is_up = True
    delivery.finish(10)
    assert server.received == [b"%d" % number for number in range(100)]
    assert delivery.dropped == 0


@pytest.mark.parametrize("waits", [True, False])
def test_a_server_that_takes_nothing_holds_nobody_up_for_long(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiffin.logs.delivery.STALL_S", 0.2)
    server = Server()
    server.takes.clear()
    delivery = Delivery(server, limit=10_000, waits=waits, note=lambda _error: None)
    delivery.start(connected=True)
    began = time.monotonic()
    for number in range(1000):
        delivery.put(out(b"%d" % number))
    took = time.monotonic() - began
    assert delivery.dropped > 900
    assert (0.15 if waits else 0.0) <= took < 1.5
    server.takes.set()
    delivery.finish(10)
    assert server.received == [b"%d" % number for number in range(len(server.received))]
    assert len(server.received) + delivery.dropped == 1000


def test_a_slow_server_loses_nothing_if_the_writer_waits() -> None:
    server = Server()
    delivery = Delivery(server, limit=1000, waits=True, note=lambda _error: None)
    delivery.start(connected=True)
    for number in range(2000):
        delivery.put(out(b"%d" % number))
    delivery.finish(10)
    assert len(server.received) == 2000
    assert delivery.dropped == 0


def test_attempts_are_counted() -> None:
    server = Server()
    server.retry = Retry(0.001, 1.0, 0.001, attempts=2)
    server.is_up = False
    delivery = Delivery(server, limit=1000, waits=True, note=lambda _error: None)
    delivery.start(connected=False)
    delivery.put(out(b"x"))
    delivery.finish(10)
    assert delivery.dropped == 1


# The relay.


def relayed(
    options: dict[str, str], name: str = "syslog"
) -> tuple[socket.socket, threading.Thread]:
    ours, theirs = socket.socketpair()

    def run() -> None:
        with theirs:
            relay.serve(theirs, name, options, SOURCE, lambda _text: None)

    thread = threading.Thread(target=run)
    thread.start()
    return ours, thread


def test_a_relay_reconnects_to_a_server_that_hangs_up() -> None:
    server = tcp_server()
    options = {"syslog-address": f"tcp://127.0.0.1:{server.port}", "mode": "non-blocking"}
    with contextlib.closing(server):
        ours, thread = relayed(options)
        with ours:
            assert ours.recv(100) == relay.CONNECTED
            ours.sendall(relay.frame("stdout", TIME_NS, b"one\nunfinished "))
            server.wait_for(b"one\n")
            server.hang_up()
            ours.sendall(relay.frame("stderr", TIME_NS, b"two\n"))
            server.wait_for(b"two\n")
            ours.sendall(relay.frame("stdout", TIME_NS, b"line"))
        server.wait_for(b"unfinished line\n")
        thread.join(10)
        assert server.connections == 2


def test_a_relay_says_why_it_cannot_begin() -> None:
    ours, thread = relayed({"syslog-address": "tcp://127.0.0.1:1"})
    with ours:
        assert ours.recv(1000) == b"dial tcp 127.0.0.1:1: connect: connection refused\n"
    thread.join(10)


def test_an_asynchronous_fluentd_may_come_later() -> None:
    server = tcp_server()
    port = server.port
    server.close()
    options = {
        "fluentd-address": f"127.0.0.1:{port}", "fluentd-async": "true", "fluentd-retry-wait": "1ms",
    }  # fmt: skip
    ours, thread = relayed(options, "fluentd")
    with ours:
        assert ours.recv(100) == relay.CONNECTED
        ours.sendall(relay.frame("stdout", TIME_NS, b"early\n"))
        listener = socket.create_server(("127.0.0.1", port))
        from tests.unit.logs.logs_receivers import StreamServer

        late = StreamServer(listener)
        with contextlib.closing(late):
            late.wait_for(b"early")
    thread.join(10)
