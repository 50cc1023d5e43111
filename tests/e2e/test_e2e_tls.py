"""Mutual TLS over TCP: the same sessions, with half-close both ways."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server, client = authority.issue_cert("127.0.0.1", "localhost"), authority.issue_cert("client")
    for name, issued in (("server", server), ("", client)):
        prefix = f"{name}-" if name else ""
        issued.private_key_pem.write_to_path(str(tmp_path / f"{prefix}key.pem"))
        for pem in issued.cert_chain_pems[:1]:
            pem.write_to_path(str(tmp_path / f"{prefix}cert.pem"))
    return tmp_path


def test_sessions_over_tls(make_daemon: Callable[..., Daemon], certificates: Path) -> None:
    port = free_port()
    daemon = make_daemon(
        "--host", f"tcp://127.0.0.1:{port}", "--tlsverify",
        "--tlscacert", str(certificates / "ca.pem"),
        "--tlscert", str(certificates / "server-cert.pem"),
        "--tlskey", str(certificates / "server-key.pem"),
    )  # fmt: skip
    image = daemon.import_busybox()
    remote = {
        **daemon.environment,
        "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(certificates),
    }
    local, daemon.environment = daemon.environment, remote
    try:
        for client in (daemon.docker, daemon.tiffin):
            assert client("run", "--rm", image, "echo", "hi").stdout == "hi\n"
            text = "line\n" * 200_000
            assert client("run", "--rm", "-i", image, "cat", input=text).stdout == text
            script = "cat > /dev/null; echo after; exit 3"
            done = client("run", "--rm", "-i", image, "sh", "-c", script, input="x", check=False)
            assert (done.stdout, done.returncode) == ("after\n", 3)
        daemon.docker("run", "-d", "--name", "far", image, "sleep", "1000")
        assert daemon.docker("exec", "-i", "far", "cat", input="in").stdout == "in"
        daemon.docker("rm", "-f", "far")
        daemon.environment = {**remote, "DOCKER_CERT_PATH": "", "DOCKER_TLS_VERIFY": ""}
        assert daemon.docker("ps", check=False).returncode != 0
    finally:
        daemon.environment = local
