"""Attach, logs and exec as bytes on the wire: framing, replay, websockets, slow and absent readers."""

import asyncio
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests.e2e.e2e_daemon import Daemon

from tiffin.wire import stdcopy

pytestmark = pytest.mark.e2e


class Session:
    """A connection that was taken over."""

    def __init__(
        self, daemon: Daemon, path: str, body: object = None, *, upgrade: bool = True
    ) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(daemon.socket)
        data = b"" if body is None else json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "Host: docker", f"Content-Length: {len(data)}"]
        head += ["Content-Type: application/json"] if data else []
        head += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else []
        self.socket.sendall("\r\n".join([*head, "", ""]).encode() + data)
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self._receive()
        self.head, _, self.received = self.received.partition(b"\r\n\r\n")

    def _receive(self) -> bool:
        data = self.socket.recv(1 << 16)
        self.received += data
        return bool(data)

    def read_until(self, wanted: bytes) -> bytes:
        while wanted not in self.received:
            assert self._receive(), f"ended before {wanted!r}: {self.received!r}"
        return self.received

    def read_all(self) -> bytes:
        while self._receive():
            pass
        self.close()
        return self.received

    def streams(self) -> tuple[bytes, bytes]:
        found = {stdcopy.STDOUT: b"", stdcopy.STDERR: b""}
        for piece in stdcopy.Decoder().feed(self.received):
            found[piece.stream] += piece.data
        return found[stdcopy.STDOUT], found[stdcopy.STDERR]

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def name(daemon: Daemon) -> Iterator[str]:
    """Name of a container that the test makes."""
    yield "subject"
    daemon.docker("rm", "-f", "subject")


def test_the_past_is_replayed_before_the_present(daemon: Daemon, busybox: str, name: str) -> None:
    script = "echo past; echo oops >&2; read line; echo $line"
    daemon.docker("run", "-di", "--name", name, busybox, "sh", "-c", script)
    daemon.wait_until(lambda: daemon.docker("logs", name).stdout == "past\n", "it has spoken")
    other = Session(daemon, f"/containers/{name}/attach?stream=1&stderr=1")
    session = Session(
        daemon, f"/v1.44/containers/{name}/attach?logs=1&stream=1&stdin=1&stdout=1&stderr=1"
    )
    assert b"101 UPGRADED" in session.head
    assert b"application/vnd.docker.multiplexed-stream" in session.head
    session.read_until(b"past\n")
    session.socket.sendall(b"now\n")
    session.read_all()
    other.read_all()
    assert session.streams() == (b"past\nnow\n", b"oops\n")
    assert other.streams() == (b"", b"")
    only_logs = Session(daemon, f"/containers/{name}/attach?logs=1&stderr=1", upgrade=False)
    assert b"200 OK" in only_logs.head
    assert b"application/vnd.docker.raw-stream" in only_logs.head
    only_logs.read_all()
    assert only_logs.streams() == (b"", b"oops\n")


def test_what_is_no_terminal_may_send_any_bytes(daemon: Daemon, busybox: str) -> None:
    data = os.urandom(1 << 20) + b"\x10\x11" * 1000 + b"a,b"
    done = subprocess.run(
        ["docker", "run", "--rm", "-i", "--detach-keys", "a,b", busybox, "md5sum"],
        input=data, capture_output=True, env=daemon.environment, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()


def test_detaching_leaves_the_container_and_is_told(
    daemon: Daemon, busybox: str, name: str
) -> None:
    daemon.docker("run", "-dit", "--name", name, busybox, "cat")
    since = time.time()
    path = f"/containers/{name}/attach?stream=1&stdin=1&stdout=1&detachKeys=x,ctrl-a"
    session = Session(daemon, path)
    session.socket.sendall(b"hello\r")
    session.read_until(b"hello")
    session.socket.sendall(b"x\x01")
    session.read_all()
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", name).stdout == "true\n"
    events = daemon.docker(
        "events",
        "--since",
        str(since),
        "--until",
        str(time.time() + 0.1),
        "--format",
        "{{.Action}}",
    ).stdout.split()
    assert events[:2] == ["attach", "detach"]
    for bad in ("ctrl-", "a,,b", "CTRL-A"):
        status, told = daemon.api("POST", f"/containers/{name}/attach?stream=1&detachKeys={bad}")
        assert (status, told["message"]) == (400, f"Invalid detach keys ({bad}) provided")


def test_states_in_which_nothing_can_be_attached(daemon: Daemon, busybox: str, name: str) -> None:
    daemon.docker("run", "-d", "--name", name, busybox, "sleep", "60")
    identifier = daemon.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
    created = daemon.api("POST", f"/containers/{name}/exec", {"Cmd": ["true"]})[1]["Id"]
    daemon.docker("pause", name)
    for path, body, message in (
        (f"/containers/{name}/attach?stream=1", None,
         f"container {name} is paused, unpause the container before attach"),
        (f"/containers/{name}/exec", {"Cmd": ["true"]},
         f"Container {identifier} is paused, unpause the container before exec"),
        (f"/exec/{created}/start", {},
         f"Container {identifier} is paused, unpause the container before exec"),
    ):  # fmt: skip
        status, told = daemon.api("POST", path, body)
        assert (status, told["message"]) == (409, message)
    daemon.docker("unpause", name)
    daemon.docker("kill", name)
    status, told = daemon.api("POST", f"/containers/{name}/exec", {"Cmd": ["true"]})
    assert (status, told["message"]) == (409, f"container {identifier} is not running")
    status, told = daemon.api("POST", f"/containers/{name}/resize?h=1&w=1")
    assert status == 409
    assert daemon.api("POST", f"/containers/{name}/resize?h=x&w=1")[0] == 400


# Execs.


def make_exec(daemon: Daemon, name: str, *command: str, **options: object) -> str:
    wanted = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **options}
    status, made = daemon.api("POST", f"/containers/{name}/exec", wanted)
    assert status == 201, made
    return str(made["Id"])


def test_execs_of_every_kind(daemon: Daemon, busybox: str, name: str) -> None:
    daemon.docker("run", "-d", "--name", name, "-e", "A=1", busybox, "sleep", "60")
    # Streams apart, input with its end, variables, directory.
    script = "cat; echo $A$B; pwd >&2; exit 7"
    made = make_exec(
        daemon, name, "sh", "-c", script, AttachStdin=True, Env=["B=2"], WorkingDir="/tmp", User="0"
    )
    session = Session(daemon, f"/exec/{made}/start", {"Detach": False})
    session.socket.sendall(b"typed\n")
    session.socket.shutdown(socket.SHUT_WR)
    session.read_all()
    assert session.streams() == (b"typed\n12\n", b"/tmp\n")
    shown = daemon.api("GET", f"/exec/{made}/json")[1]
    assert (shown["ExitCode"], shown["Running"], shown["Pid"]) == (7, False, 0)
    assert shown["ProcessConfig"]["entrypoint"] == "sh"
    assert shown["ProcessConfig"]["arguments"] == ["-c", script]
    assert (shown["OpenStdin"], shown["OpenStdout"], shown["DetachKeys"]) == (True, True, "")
    status, told = daemon.api("POST", f"/exec/{made}/start", {})
    assert (status, "has already run" in told["message"]) == (409, True)
    # A terminal of the wished size, and a new one.
    made = make_exec(
        daemon, name, "sh", "-c", "stty size; read x; stty size", Tty=True, AttachStdin=True
    )
    session = Session(daemon, f"/exec/{made}/start", {"Tty": True, "ConsoleSize": [33, 99]})
    assert b"application/vnd.docker.raw-stream" in session.head
    session.read_until(b"33 99")
    status, told = daemon.api("POST", f"/exec/{made}/start", {})
    assert (status, "is already running" in told["message"]) == (409, True)
    assert daemon.api("POST", f"/exec/{made}/resize?h=44&w=111")[0] == 200
    session.socket.sendall(b"\r")
    assert b"44 111" in session.read_all()
    # What cannot be executed.
    for command, code in (("/nope", 127), ("/etc", 126)):
        made = make_exec(daemon, name, command)
        session = Session(daemon, f"/exec/{made}/start", {})
        session.read_all()
        assert b"OCI runtime exec failed: exec failed: " in session.streams()[0]
        assert daemon.api("GET", f"/exec/{made}/json")[1]["ExitCode"] == code
    refused: list[dict[str, object]] = [
        {"Cmd": []}, {"Cmd": ["x"], "DetachKeys": "ctrl-"}, {"Cmd": ["x"], "WorkingDir": "a"},
    ]  # fmt: skip
    for bad in refused:
        assert daemon.api("POST", f"/containers/{name}/exec", bad)[0] == 400


def test_nobody_waits_for_a_reader_that_has_stopped(
    daemon: Daemon, busybox: str, name: str
) -> None:
    """Neither others nor the log, and the memory of our processes stays what it was."""
    size = 80_000_000
    script = f"read x; head -c {size} /dev/zero | tr '\\0' x | fold -w 4999; echo; echo end"
    daemon.docker(
        "run", "-di", "--name", name, "--log-opt", "max-size=600m", busybox, "sh", "-c", script
    )
    path = f"/containers/{name}/attach?stream=1&stdout=1&stdin=1"
    stopped, quick = Session(daemon, path), Session(daemon, path)
    digest, total = hashlib.md5(), 0
    quick.socket.sendall(b"\n")
    decoder = stdcopy.Decoder()
    while data := quick.socket.recv(1 << 20):
        for piece in decoder.feed(data):
            digest.update(piece.data)
            total += len(piece.data)
    quick.close()
    assert total > size
    shims = [pid for pid in our_processes(daemon) if peak_kb(pid)]
    assert max(map(peak_kb, shims)) < 60_000
    # What the stopped one is owed was kept for it.
    late, late_total = hashlib.md5(), 0
    decoder = stdcopy.Decoder()
    while data := stopped.socket.recv(1 << 20):
        for piece in decoder.feed(data):
            late.update(piece.data)
            late_total += len(piece.data)
    stopped.close()
    assert (late_total, late.digest()) == (total, digest.digest())
    logged = subprocess.run(
        ["sh", "-c", f"docker logs {name} | md5sum"],
        capture_output=True, text=True, env=daemon.environment, timeout=100, check=True,
    ).stdout  # fmt: skip
    assert logged.split()[0] == digest.hexdigest()


def our_processes(daemon: Daemon) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(daemon.base).encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def peak_kb(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", text) if "tiffin-shim" in text else None
    return int(match[1]) if match else 0


# Logs.


def test_a_followed_log_survives_restarts_and_rotation(
    daemon: Daemon, busybox: str, name: str
) -> None:
    script = "i=0; while [ $i -lt 400 ]; do echo run $i; i=$((i+1)); done; exec sleep 100"
    daemon.docker(
        "run", "-d", "--init", "--name", name, "--stop-signal", "KILL",
        "--log-opt", "max-size=8k", "--log-opt", "max-file=5", busybox, "sh", "-c", script,
    )  # fmt: skip
    with daemon.spawn("logs", "-f", name) as follower:
        assert follower.stdout is not None
        lines: list[bytes] = []
        ended = threading.Event()

        def follow() -> None:
            assert follower.stdout is not None
            lines.extend(follower.stdout)
            ended.set()

        threading.Thread(target=follow, daemon=True).start()
        for times in (1, 2, 3):
            daemon.wait_until(lambda n=times: lines.count(b"run 399\n") == n, f"run {times}")  # type: ignore[misc]
            assert not ended.is_set()
            if times < 3:
                daemon.docker("restart", name)
        daemon.docker("stop", name)
        assert ended.wait(10)
        assert lines[-801:] == [b"run 399\n", *[b"run %d\n" % n for n in range(400)] * 2]


def test_logs_in_all_ways(daemon: Daemon, busybox: str, name: str) -> None:
    script = (
        "echo one; echo two >&2; head -c 50000 /dev/zero | tr '\\0' x; echo; sleep 0.3;"
        " echo three; printf open"
    )
    daemon.docker("run", "--name", name, "-l", "a=b c", "--log-opt", "labels=a", busybox,
                  "sh", "-c", script)  # fmt: skip
    long = "x" * 50_000
    whole = daemon.docker("logs", name)
    assert (whole.stdout, whole.stderr) == (f"one\n{long}\nthree\nopen", "two\n")
    assert daemon.docker("logs", "-n", "2", name).stdout == "three\nopen"
    assert daemon.docker("logs", "-n", "0", "-f", name).stdout == ""
    assert daemon.docker("logs", "--details", "-n", "2", name).stdout == "a=b+c three\na=b+c open"
    stamped = daemon.docker("logs", "-t", "-n", "2", name).stdout.splitlines()
    moment, text = stamped[0].split(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", moment)
    assert text == "three"
    assert daemon.docker("logs", "--since", moment, name).stdout == "three\nopen"
    early = daemon.docker("logs", "--until", moment, "-t", name).stdout
    assert early.startswith(daemon.docker("logs", "-t", name).stdout[:30])
    assert early.rstrip().endswith(" three")
    status, told = daemon.api("GET", f"/containers/{name}/logs")
    assert (status, told["message"]) == (
        400, "Bad parameters: you must choose at least one stream",
    )  # fmt: skip
    assert daemon.api("GET", f"/containers/{name}/logs?stdout=1&since=abc")[0] == 400


def test_following_ends_with_the_container(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "brief", busybox, "sh", "-c", "echo a; sleep 60")
    with daemon.spawn("logs", "-f", "brief") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"a\n"
        daemon.docker("rm", "-f", "brief")
        assert follower.wait(10) == 0
    daemon.docker("create", "--name", "never", busybox)
    assert daemon.docker("logs", "-f", "never").stdout == ""
    daemon.docker("rm", "never")


def test_readers_that_vanish_leave_no_traceback(daemon: Daemon, busybox: str, name: str) -> None:
    daemon.docker("run", "-d", "--name", name, busybox, "sh", "-c", "while :; do echo y; done")
    before = len(daemon.log)
    paths = [
        f"/containers/{name}/logs?stdout=1&follow=1", f"/containers/{name}/stats",
        "/events", f"/containers/{name}/export", f"/containers/{name}/logs?stdout=1",
    ]  # fmt: skip
    for path in paths * 2:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.socket)
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
            client.recv(100)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        client.sendall(b"GET /\x00 HTTP/1.1\r\nbad header\r\n\r\n")
        assert b"400" in client.recv(1000)
    daemon.docker("kill", name)
    assert daemon.api("GET", "/_ping")[0] == 200
    assert "Traceback" not in daemon.log[before:]
    assert "level=error" not in daemon.log[before:]


# Websockets.


async def test_a_websocket_is_attached(daemon: Daemon, busybox: str, name: str) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; echo; cat; echo bye"
    daemon.docker("run", "-di", "--name", name, busybox, "sh", "-c", script)
    daemon.wait_until(lambda: len(daemon.docker("logs", name).stdout) > 3_000_000, "it has spoken")
    url = f"ws://docker/v1.44/containers/{name}/attach/ws?stream=1&stdin=1&stdout=1&logs=1"
    connector = aiohttp.UnixConnector(daemon.socket)
    async with asyncio.timeout(30), aiohttp.ClientSession(connector=connector) as http:
        async with http.ws_connect(url, max_msg_size=0) as websocket:
            await websocket.send_str("text\n")
            await websocket.send_bytes(b"binary\n")
            received = b""
            while not received.endswith(b"binary\n"):
                message = await websocket.receive()
                assert message.type is aiohttp.WSMsgType.BINARY
                received += message.data
            assert received == b"x" * 3_000_000 + b"\ntext\nbinary\n"
            await websocket.close()
        # The end of a websocket leaves a container that is not for one session only.
        async with http.ws_connect(url.replace("v1.44", "v1.27").replace("&logs=1", "")) as old:
            await old.send_str("again\n")
            message = await old.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.TEXT, "again\n")
            daemon.docker("kill", name)
            assert (await old.receive()).type in (
                aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED,
            )  # fmt: skip
    assert daemon.api("GET", f"/containers/{name}/attach/ws?stream=1")[0] == 400
