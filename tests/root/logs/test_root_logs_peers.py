"""Drivers against the servers that people run: Debian's systemd-journald and rsyslog."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tiffin.logs.journald import SOCKET, JournaldDriver
from tiffin.logs.messages import Message, Partial
from tiffin.logs.remote import LogSource, RemoteDriver
from tiffin.logs.syslog import SyslogDriver
from tiffin.logs.syslog_options import parse_syslog

pytestmark = pytest.mark.root

JOURNALD = "/usr/lib/systemd/systemd-journald"
ALONE = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
echo 0123456789abcdef0123456789abcdef > /run/machine-id
mount --bind /run/machine-id /etc/machine-id
exec "$0"
"""
"""Runs a journal of its own, which nothing but the test sends to."""

RSYSLOG = """
module(load="imtcp")
module(load="imudp")
module(load="imuxsock" SysSock.Use="off")
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{0}/port")
input(type="imuxsock" socket="{0}/log")
template(name="told" type="string" string="%syslogtag%|%pri%|%hostname%|%msg%\\n")
action(type="omfile" file="{0}/out" template="told" asyncWriting="off" flushOnTXEnd="on")
"""


def wait_for(condition: Callable[[], Any], timeout_s: float = 15.0) -> Any:  # noqa: ANN401
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def send(driver: RemoteDriver, *messages: Message) -> None:
    with contextlib.closing(driver):
        driver.connect()
        waiting = deque(messages)
        driver.send(waiting)
        assert not waiting


def test_the_journal_keeps_what_it_is_sent() -> None:
    assert Path(JOURNALD).exists(), "these tests need systemd"
    source = LogSource(
        "0123456789ab" + "0" * 52, "web", "sha256:1", "app:1", "serve", "", "the-tag", {"a.b": "c"}
    )
    long = os.urandom(400_000).hex().encode()
    with running("unshare", "--mount", "sh", "-c", ALONE, JOURNALD) as journal:
        root = f"/proc/{journal.pid}/root"
        wait_for(lambda: Path(root + SOCKET).exists() and Path(f"{root}/run/machine-id").exists())
        now = time.time_ns()
        send(
            JournaldDriver(source, root + SOCKET),
            Message(now, "stdout", b"hello"),
            Message(now, "stderr", b"two\nlines"),
            Message(now, "stdout", b"part", Partial("ff", 1, last=False)),
            Message(now, "stdout", long),
        )

        def records() -> list[dict[str, Any]]:
            found = subprocess.run(
                ["journalctl", "--directory", f"{root}/run/log/journal", "--output", "json",
                 "--all", "CONTAINER_NAME=web"],
                capture_output=True, text=True, check=False,
            ).stdout  # fmt: skip
            lines = [json.loads(line) for line in found.splitlines()]
            return lines if len(lines) == 4 else []

        hello, lines, part, large = wait_for(records)
    assert (hello["MESSAGE"], hello["PRIORITY"]) == ("hello", "6")
    assert hello["CONTAINER_ID"] == "0123456789ab"
    assert hello["CONTAINER_ID_FULL"] == source.id
    assert hello["SYSLOG_IDENTIFIER"] == hello["CONTAINER_TAG"] == "the-tag"
    assert (hello["IMAGE_NAME"], hello["A_B"]) == ("app:1", "c")
    assert (lines["MESSAGE"], lines["PRIORITY"]) == ("two\nlines", "3")
    assert part["CONTAINER_PARTIAL_MESSAGE"] == "true"
    assert large["MESSAGE"].encode() == long


@pytest.fixture
def rsyslog() -> Iterator[Path]:
    assert shutil.which("rsyslogd"), "these tests need rsyslog"
    directory = Path(tempfile.mkdtemp(prefix="tf-"))  # a short path, for its socket
    try:
        (directory / "conf").write_text(RSYSLOG.format(directory))
        command = ["rsyslogd", "-n", "-i", f"{directory}/pid", "-f", f"{directory}/conf"]
        with running(*command):
            wait_for((directory / "log").exists)
            wait_for(lambda: (directory / "port").exists() and (directory / "port").read_text())
            yield directory
    finally:
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("scheme", "form"),
    [("tcp", "rfc3164"), ("tcp", "rfc5424"), ("tcp", "rfc5424micro"), ("unixgram", "")],
)
def test_rsyslog_understands_every_format(rsyslog: Path, scheme: str, form: str) -> None:
    port = (rsyslog / "port").read_text().strip()
    address = f"tcp://127.0.0.1:{port}" if scheme == "tcp" else f"unixgram://{rsyslog}/log"
    options = {"syslog-address": address, "syslog-format": form, "syslog-facility": "local1"}
    now = time.time_ns()
    send(
        SyslogDriver(parse_syslog(options), "the-tag"),
        Message(now, "stdout", "grüß dich".encode()),
        Message(now, "stderr", b"bad"),
    )

    def told() -> list[str]:
        lines = (rsyslog / "out").read_text().splitlines() if (rsyslog / "out").exists() else []
        ours = [line for line in lines if line.startswith("the-tag[")]
        return ours if len(ours) == 2 else []

    hello, bad = (line.split("|") for line in wait_for(told))
    assert (hello[1], hello[3].strip()) == ("142", "grüß dich")
    assert (bad[1], bad[3].strip()) == ("139", "bad")
    assert hello[2] == os.uname().nodename
