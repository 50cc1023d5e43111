"""Logs that go elsewhere: by the real client, to servers that listen, are absent, or fall silent."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from tests.e2e.e2e_daemon import Daemon
from tests.unit.logs.logs_receivers import StreamServer, tcp_server

pytestmark = pytest.mark.e2e


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with contextlib.closing(tcp_server()) as listening:
        yield listening


def syslog_to(port: int, *options: str) -> list[str]:
    address = f"syslog-address=tcp://127.0.0.1:{port}"
    words = ["--log-driver", "syslog", "--log-opt", address]
    for option in options:
        words += ["--log-opt", option]
    return words


def test_syslog_goes_to_the_server_and_to_docker_logs(
    daemon: Daemon, busybox: str, server: StreamServer
) -> None:
    script = "echo out; echo err >&2; read line; echo $line; head -c 40000 /dev/zero | tr '\\0' x"
    daemon.docker(
        "run", "-di", "--name", "told", *syslog_to(server.port, "tag={{upper .Name}}/{{.ID}}"),
        busybox, "sh", "-c", script,
    )  # fmt: skip
    identifier = daemon.docker("inspect", "-f", "{{.Id}}", "told").stdout.strip()
    received = server.wait_for(b"err\n").decode()
    assert f" TOLD/{identifier[:12]}[" in received
    assert "<30>" in received
    assert "<27>" in received
    # Neither a new daemon nor a server that hangs up makes a difference.
    server.hang_up()
    daemon.restart()
    daemon.run("sh", "-c", "echo typed | timeout 60 docker attach told")
    daemon.docker("wait", "told")
    server.wait_for(b"typed\n")
    wait_until(lambda: server.received.count(b"x" * 16384) == 2)
    logs = daemon.docker("logs", "told")
    assert logs.stdout == "out\ntyped\n" + "x" * 40_000
    assert logs.stderr == "err\n"
    assert daemon.docker("inspect", "-f", "[{{.LogPath}}]", "told").stdout == "[]\n"
    daemon.docker("rm", "told")


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def test_a_server_that_takes_nothing_does_not_stop_the_container(
    daemon: Daemon, busybox: str
) -> None:
    size = 6_000_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        # Nobody ever accepts: the kernel's buffers take what they can.
        done = daemon.docker(
            "run", "--rm", "--name", "stuck", *syslog_to(port), busybox,
            "sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x | fold -w 99; echo; echo end",
        )  # fmt: skip
        took = time.monotonic() - began
    assert len(done.stdout) > size
    assert done.stdout.endswith("end\n")
    assert took < 12


def test_what_cannot_begin_says_why(daemon: Daemon, busybox: str) -> None:
    begin = "failed to create task for container: failed to initialize logging driver: "
    refused = "dial tcp 127.0.0.1:1: connect: connection refused"
    for options, message in (
        (syslog_to(1), begin + refused),
        (["--log-driver", "fluentd", "--log-opt", "fluentd-address=127.0.0.1:1"], begin + refused),
        (["--log-driver", "journald", "--log-opt", "a=b"], "unknown log opt 'a' for journald"),
        (["--log-driver", "papyrus"], "logger: no log driver named 'papyrus' is registered"),
    ):
        failed = daemon.docker("run", "--rm", *options, busybox, "true", check=False)
        assert failed.returncode == 125
        assert message in failed.stderr
    failed = daemon.docker(
        "run", "--name", "mute", *syslog_to(1, "tag={{.Nope}}"), busybox, "true", check=False
    )
    assert "template: log-tag" in failed.stderr
    daemon.docker("rm", "mute")


def test_without_a_copy_there_is_nothing_to_read(
    daemon: Daemon, busybox: str, server: StreamServer
) -> None:
    options = syslog_to(server.port, "cache-disabled=true")
    daemon.docker("run", "--name", "secret", *options, busybox, "echo", "psst")
    server.wait_for(b"psst\n")
    failed = daemon.docker("logs", "secret", check=False)
    assert "configured logging driver does not support reading" in failed.stderr
    daemon.docker("rm", "secret")


def test_the_daemon_has_a_driver_for_all(make_daemon: Callable[..., Daemon]) -> None:
    with contextlib.closing(tcp_server()) as server:
        daemon = make_daemon(
            "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{server.port}",
            "--log-opt", "fluentd-async=true", "--log-opt", "env=COLOUR",
        )  # fmt: skip
        image = daemon.import_busybox()
        info = json.loads(daemon.docker("info", "-f", "{{json .}}").stdout)
        assert info["LoggingDriver"] == "fluentd"
        assert info["Plugins"]["Log"] == [
            "fluentd", "gelf", "journald", "json-file", "local", "syslog",
        ]  # fmt: skip
        command = [
            "run",
            "--name",
            "red",
            "-e",
            "COLOUR=red",
            "--log-opt",
            "tag=t",
            image,
            "echo",
            "hi",
        ]
        daemon.docker(*command)
        event = msgspec.msgpack.decode(server.wait_for(b"COLOUR\xa3red\x80"))
        assert event[0] == "t"
        assert event[2]["container_name"] == "/red"
        assert (event[2]["log"], event[2]["source"]) == ("hi", "stdout")
        assert daemon.docker("logs", "red").stdout == "hi\n"
        shown = json.loads(
            daemon.docker("inspect", "-f", "{{json .HostConfig.LogConfig}}", "red").stdout
        )
        assert shown["Type"] == "fluentd"
        assert shown["Config"]["tag"] == "t"
        assert shown["Config"]["fluentd-async"] == "true"
        daemon.docker("rm", "red")
    # The server is gone: an asynchronous driver lets containers start all the same.
    daemon.docker("run", "--rm", image, "true")
