"""`tiffin` at a terminal: sessions, detaching, signals, prompts, and what it draws."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

CLIENT = [sys.executable, "-m", "tiffin.cli.main"]
Spawn = Callable[..., Any]


@pytest.fixture
def spawn(daemon: Daemon) -> Iterator[Spawn]:
    """Start the client at a terminal of 31 by 97."""
    clients: list[Any] = []

    def start(*words: str) -> Any:  # noqa: ANN401
        client = pexpect.spawn(
            CLIENT[0], [*CLIENT[1:], *words], env=daemon.environment, encoding="utf-8", timeout=20,
            dimensions=(31, 97),
        )  # fmt: skip
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close(force=True)


def ended(client: Any) -> tuple[int | None, str]:  # noqa: ANN401
    client.expect(pexpect.EOF)
    client.close()
    return client.exitstatus, client.before


def test_a_shell(daemon: Daemon, busybox: str, spawn: Spawn) -> None:
    shell = spawn("run", "-it", "--name", "term", busybox, "sh")
    shell.expect("# ")
    shell.sendline("stty size")
    shell.expect("31 97")
    shell.expect("# ")
    shell.setwinsize(40, 120)
    shell.sendline("while [ \"$(stty size)\" != '40 120' ]; do :; done; echo re''sized")
    shell.expect("resized")
    shell.expect("# ")
    shell.send("\x10\x11")
    assert ended(shell)[0] == 0
    again = spawn("attach", "term")
    again.sendline("echo at''tached")  # typed ahead
    again.expect("attached")
    again.send("\x10\x11")
    status, text = ended(again)
    assert status == 1
    assert text.endswith("read escape sequence\r\n")
    other = spawn("attach", "--detach-keys", "ctrl-a,d", "term")
    other.sendline("echo o''k")
    other.expect("ok")
    other.send("\x01d")
    assert ended(other)[0] == 1
    inner = spawn("exec", "-it", "term", "sh")
    inner.expect("# ")
    inner.sendline("stty size; exit 9")
    inner.expect("31 97")
    assert ended(inner)[0] == 9
    last = spawn("attach", "term")
    last.sendline("exit 4")
    assert ended(last)[0] == 4
    started = spawn("start", "-ai", "term")
    started.expect("# ")
    started.sendline("exit 6")
    assert ended(started)[0] == 6
    daemon.tiffin("rm", "term")


TRAP = "trap 'echo got; exit 11' INT TERM; echo ready; while :; do sleep 0.05; done"


def test_signals_reach_the_container(daemon: Daemon, busybox: str, spawn: Spawn) -> None:
    client = spawn("run", "--rm", busybox, "sh", "-c", TRAP)
    client.expect("ready")
    client.sendintr()
    client.expect("got")
    assert ended(client)[0] == 11
    process = subprocess.Popen(
        [*CLIENT, "run", "--rm", busybox, "sh", "-c", TRAP],
        env=daemon.environment, stdout=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got\n"
    assert process.returncode == 11


def test_interrupted_streams_end_with_130(daemon: Daemon, busybox: str, spawn: Spawn) -> None:
    daemon.tiffin("run", "-d", "--name", "talker", busybox, "sh", "-c", "echo hello; sleep 1000")
    followed = spawn("logs", "-f", "talker")
    followed.expect("hello")
    followed.sendintr()
    assert ended(followed)[0] == 130
    watched = spawn("stats")
    watched.expect("CPU %")
    watched.expect("talker")
    watched.sendintr()
    assert ended(watched)[0] == 130
    daemon.tiffin("rm", "-f", "talker")


def test_prompts(daemon: Daemon, spawn: Spawn) -> None:
    daemon.tiffin("volume", "create", "kept")
    for answer in ("n", "\x03"):
        prompt = spawn("volume", "prune", "-a")
        prompt.expect(r"\[y/N\] ")
        prompt.sendline(answer) if answer == "n" else prompt.sendintr()
        assert ended(prompt)[0] == 0
    assert "kept" in daemon.tiffin("volume", "ls", "-q").stdout
    prompt = spawn("volume", "prune", "-a")
    prompt.expect(r"\[y/N\] ")
    prompt.sendline("y")
    status, text = ended(prompt)
    assert status == 0
    assert "kept" in text


def test_binary_data_is_kept_off_the_screen(busybox: str, spawn: Spawn) -> None:
    status, text = ended(spawn("save", busybox))
    assert status == 1
    assert "cowardly refusing to save to a terminal" in text


def test_terminals_are_needed_for_terminals(daemon: Daemon, busybox: str) -> None:
    done = daemon.tiffin("run", "--rm", "-it", busybox, "true", check=False)
    assert (done.returncode, done.stderr) == (1, "the input device is not a TTY\n")


def test_much_input(daemon: Daemon, busybox: str) -> None:
    data = os.urandom(4 << 20)
    done = subprocess.run(
        [*CLIENT, "run", "--rm", "-i", busybox, "cat"],
        env=daemon.environment, input=data, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == data


@pytest.mark.parametrize("source", ["file", "dir", "dir/.", "link/", "dangling"])
@pytest.mark.parametrize("target", ["new", "there", "there/", "old", "linked"])
def test_cp_does_as_docker_does(daemon: Daemon, busybox: str, source: str, target: str) -> None:
    """Both ways, from and into every kind of thing; the trees must come out the same."""
    found = []
    for client in (daemon.docker, daemon.tiffin):
        here, there = daemon.base / "here", daemon.base / "there"
        for place in (here, there):
            subprocess.run(["rm", "-rf", str(place)], check=True)
            furnish(place)
        name = daemon.docker("create", "-v", f"{there}:/w", busybox).stdout.strip()
        into = client("cp", str(here / source.rstrip("/")) + "/" * source.endswith("/")
                      if not source.endswith("/.") else f"{here}/{source}",
                      f"{name}:/w/{target}", check=False)  # fmt: skip
        after_in = tree(there)
        out = client("cp", f"{name}:/w/{source}", f"{here}/{target}", check=False)
        found.append((into.returncode, after_in, out.returncode, tree(here)))
        daemon.docker("rm", "-f", name)
    assert found[0] == found[1]


def furnish(place: Path) -> None:
    (place / "dir" / "sub").mkdir(parents=True)
    (place / "file").write_text("f")
    (place / "dir" / "a").write_text("a")
    (place / "dir" / "hard").hardlink_to(place / "dir" / "a")
    (place / "dir" / "sub" / "b").write_text("b")
    (place / "dir" / "sub" / "b").chmod(0o4777)
    (place / "there").mkdir()
    (place / "old").write_text("old")
    (place / "link").symlink_to("dir")
    (place / "dangling").symlink_to("/nosuch")
    (place / "linked").symlink_to("there")


def tree(place: Path) -> list[tuple[str, int, str]]:
    entries = []
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        text = (
            str(path.readlink())
            if path.is_symlink()
            else path.read_text()
            if path.is_file()
            else ""
        )
        entries.append((str(path.relative_to(place)), status.st_mode, text))
    return entries
