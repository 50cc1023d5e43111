"""The ways to a daemon: TCP with TLS, ssh, contexts, and a daemon started on demand."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon, Result
from tests.e2e.test_e2e_tls import TlsDaemon

pytestmark = pytest.mark.e2e

BIN = str(Path(sys.executable).parent)


@pytest.fixture(scope="module")
def daemon() -> Iterator[TlsDaemon]:
    """A daemon with a socket, and a TCP port with TLS."""
    started = TlsDaemon()
    try:
        started.start()
        yield started
    finally:
        started.destroy()


def over_tls(daemon: TlsDaemon, *words: str, text: str = "", check: bool = True) -> Result:
    return daemon.tiffin(*daemon.tls_options(), *words, input=text, check=check, timeout=60)


def test_half_close_over_tls(daemon: TlsDaemon, busybox: str) -> None:
    data = os.urandom(1 << 20).hex()
    assert over_tls(daemon, "run", "--rm", "-i", busybox, "cat", text=data).stdout == data
    counted = over_tls(daemon, "run", "--rm", "-i", busybox, "wc", "-c", text=data)
    assert counted.stdout.strip() == str(len(data))
    done = over_tls(
        daemon, "run", "--rm", "-i", busybox, "sh", "-c", "cat >&2; exit 9", text="in", check=False
    )
    assert (done.returncode, done.stderr) == (9, "in")


def test_archives_over_tls(daemon: TlsDaemon, busybox: str, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    over_tls(daemon, "save", "-o", str(archive), busybox)
    assert "Loaded image" in over_tls(daemon, "load", "-i", str(archive)).stdout


def test_strangers_are_turned_away(daemon: TlsDaemon) -> None:
    words = ["-H", f"tcp://127.0.0.1:{daemon.port}", "--tls"]
    nameless = daemon.tiffin(*words, "ps", check=False)
    assert nameless.returncode == 1
    assert "certificate" in nameless.stderr.lower()
    unknown = daemon.tiffin(*words[:2], "--tlsverify", "ps", check=False)
    assert unknown.returncode == 1
    assert "failed to verify certificate" in unknown.stderr


def test_contexts_are_shared_with_docker(daemon: TlsDaemon, busybox: str, tmp_path: Path) -> None:
    environment = {**daemon.environment, "DOCKER_CONFIG": str(tmp_path)}
    del environment["DOCKER_HOST"]
    ours = (sys.executable, "-m", "tiffin.cli.main")
    keys = daemon.certificates
    endpoint = (
        f"host=tcp://127.0.0.1:{daemon.port},ca={keys}/ca.pem,cert={keys}/client.pem,"
        f"key={keys}/client-key.pem"
    )

    def run(*words: str, check: bool = True) -> str:
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    for maker, user, name in ((("docker",), ours, "theirs"), (ours, ("docker",), "mine")):
        run(*maker, "context", "create", name, "--description", "d", "--docker", endpoint)
        assert "bb" in run(*user, "--context", name, "images")
        run(*maker, "context", "use", name)
        assert run(*user, "context", "show").strip() == name
        assert "bb" in run(*user, "images")
        run(*maker, "context", "export", name, str(tmp_path / name))
        run(*user, "context", "import", f"copy-{name}", str(tmp_path / name))
        assert "bb" in run(*maker, "-c", f"copy-{name}", "images")
        assert run("docker", "context", "inspect", name) == run(*ours, "context", "inspect", name)
        run(*user, "context", "use", "default")
        run(*user, "context", "rm", name)


def fake_ssh(directory: Path) -> Path:
    """A program named ssh that runs the remote command here, and notes its words."""
    program = directory / "ssh"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >>{directory}/words\n'
        'while [ "$1" != -- ]; do shift; done\nshift 2\nexec sh -c "$*"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def test_ssh(daemon: TlsDaemon, busybox: str, tmp_path: Path) -> None:
    fake_ssh(tmp_path)
    environment = {
        **daemon.environment,
        "PATH": f"{tmp_path}:{BIN}:{os.environ['PATH']}",
        "DOCKER_HOST": f"ssh://me@far.example:2022{daemon.socket}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tiffin.cli.main", "run", "--rm", "-i", busybox, "wc", "-c"],
        env=environment, input=b"x" * 500_000, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, b"500000"), done.stderr
    assert "-p 2022" in (tmp_path / "words").read_text()
    # Docker's own client asks for `docker system dial-stdio`, which here is ours.
    real = shutil.which("docker") or ""
    (tmp_path / "docker").symlink_to(Path(BIN) / "tiffin")
    done = subprocess.run(
        [real, "run", "--rm", "-i", busybox, "wc", "-c"],
        env=environment, input=b"x" * 500_000, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (0, b"500000"), done.stderr


def test_a_daemon_is_started_on_demand(tmp_path: Path) -> None:
    spare = Daemon()  # only for its paths, subnets and cleaning up
    try:
        words = [word for word in spare.command("x") if word not in ("--host", "x")]
        socket_path = spare.base / "on-demand" / "t.sock"
        environment = {
            **spare.environment,
            "TIFFIN_SOCKET": str(socket_path),
            "TIFFIN_DAEMON": " ".join(words),
            "TIFFIN_E2E": str(spare.base),
        }
        del environment["DOCKER_HOST"]
        command = [sys.executable, "-m", "tiffin.cli.main", "version", "-f", "{{.Server.Os}}"]
        several = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        assert [client.communicate(timeout=60)[0] for client in several] == ["linux\n"] * 3
        log = (socket_path.parent / "tiffind.log").read_text()
        assert log.count("Daemon has completed initialization") == 1
        pids = [
            int(path.name)
            for path in Path("/proc").glob("[0-9]*")
            if str(socket_path).encode() in command_line(path)
        ]
        assert len(pids) == 1
        os.kill(pids[0], signal.SIGTERM)
        spare.wait_until(lambda: not Path(f"/proc/{pids[0]}").exists(), "the daemon ended", 15)
    finally:
        spare.take_away()


def command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
