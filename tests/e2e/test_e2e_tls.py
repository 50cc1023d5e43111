"""The real client over mutual TLS, where half-close is delicate."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from tests.e2e.e2e_daemon import Daemon, Result

pytestmark = pytest.mark.e2e


class TlsDaemon(Daemon):
    """A daemon that also listens on TCP with TLS; `over_tls` runs the client that way."""

    def __init__(self) -> None:
        super().__init__()
        self.authority = trustme.CA()
        server = self.authority.issue_cert("localhost", "127.0.0.1")
        client = self.authority.issue_cert("client@example.org")
        self.certificates = self.base / "tls"
        self.certificates.mkdir()
        ca = self.certificates / "ca.pem"
        self.authority.cert_pem.write_to_path(str(ca))
        for name, issued in (("server", server), ("client", client)):
            chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
            (self.certificates / f"{name}.pem").write_bytes(chain)
            issued.private_key_pem.write_to_path(str(self.certificates / f"{name}-key.pem"))
        self.options = (
            "--tlsverify", "--tlscacert", str(ca),
            "--tlscert", str(self.certificates / "server.pem"),
            "--tlskey", str(self.certificates / "server-key.pem"),
            "--host", "tcp://127.0.0.1:0",
        )  # fmt: skip

    @property
    def port(self) -> str:
        ports = re.findall(r"API listen on tcp://127\.0\.0\.1:(\d+)", self.log)
        return str(ports[-1])

    def tls_options(self) -> list[str]:
        return [
            "-H", f"tcp://127.0.0.1:{self.port}", "--tlsverify",
            "--tlscacert", str(self.certificates / "ca.pem"),
            "--tlscert", str(self.certificates / "client.pem"),
            "--tlskey", str(self.certificates / "client-key.pem"),
        ]  # fmt: skip

    def over_tls(self, *arguments: str, input: str = "", check: bool = True) -> Result:  # noqa: A002
        return self.docker(*self.tls_options(), *arguments, input=input, check=check, timeout=60)


@pytest.fixture(scope="module")
def daemon() -> Iterator[TlsDaemon]:
    """A daemon with TLS."""
    started = TlsDaemon()
    try:
        started.start()
        yield started
    finally:
        started.destroy()


def test_version(daemon: TlsDaemon) -> None:
    assert "Server" in daemon.over_tls("version").stdout


def test_clients_without_certificate_are_turned_away(daemon: TlsDaemon) -> None:
    done = daemon.docker(
        "-H", f"tcp://127.0.0.1:{daemon.port}", "--tls", "version", check=False
    )  # fmt: skip
    assert done.returncode == 1
    plain = daemon.docker("-H", f"tcp://127.0.0.1:{daemon.port}", "version", check=False)
    assert plain.returncode == 1
    assert "Server" in daemon.over_tls("version").stdout


def test_end_of_input_reaches_the_container(daemon: TlsDaemon, busybox: str) -> None:
    text = "x" * 99 + "\n"
    done = daemon.over_tls("run", "--rm", "-i", busybox, "wc", "-c", input=text * 30_000)
    assert done.stdout.strip() == str(3_000_000)


def test_both_directions_at_once(daemon: TlsDaemon, busybox: str) -> None:
    data = os.urandom(1 << 20).hex()
    done = daemon.over_tls("run", "--rm", "-i", busybox, "cat", input=data)
    assert done.stdout == data


def test_exec_and_its_exit_code(daemon: TlsDaemon, busybox: str) -> None:
    name = daemon.over_tls("run", "-d", busybox, "sleep", "1000").stdout.strip()
    try:
        done = daemon.over_tls(
            "exec", "-i", name, "sh", "-c", "cat; exit 9", input="in", check=False
        )
        assert (done.stdout, done.returncode) == ("in", 9)
    finally:
        daemon.docker("rm", "-f", name)


def test_a_terminal(daemon: TlsDaemon, busybox: str) -> None:
    pexpect = pytest.importorskip("pexpect")
    client = pexpect.spawn(
        "docker", [*daemon.tls_options(), "run", "--rm", "-it", busybox, "sh"],
        env=daemon.environment, encoding="utf-8", timeout=30, dimensions=(31, 97),
    )  # fmt: skip
    client.expect("# ")
    client.sendline("stty size; tty")
    client.expect("31 97")
    client.sendline("exit 3")
    client.expect(pexpect.EOF)
    client.close()
    assert client.exitstatus == 3


def test_logs_and_events_end(daemon: TlsDaemon, busybox: str) -> None:
    name = daemon.over_tls("run", "-d", busybox, "echo", "hello").stdout.strip()
    assert daemon.over_tls("logs", "-f", name).stdout == "hello\n"
    assert daemon.over_tls("wait", name).stdout == "0\n"
    daemon.over_tls("rm", name)


def test_build_context_over_tls(daemon: TlsDaemon, busybox: str, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox}\nCOPY big /big\n")
    (tmp_path / "big").write_bytes(os.urandom(2 << 20))
    daemon.over_tls("build", "-t", "tls:1", str(tmp_path))
    done = daemon.over_tls("run", "--rm", "tls:1", "sha256sum", "/big")
    expected = subprocess.run(
        ["sha256sum", str(tmp_path / "big")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == expected.stdout.split()[0]
