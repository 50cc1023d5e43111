"""kill -9 of daemon, spawner and shims at random moments, and power cuts.

The next daemon finds what was acknowledged, cleans up what was not, and works.
"""

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon, busybox_tar
from tests.e2e.e2e_remains import orphans, registry_of

from tiffin.testing.sample_images import SampleImage, layer_tar

pytestmark = pytest.mark.e2e

ROUNDS = 20
LONGEST_DELAY_S = 0.35


@pytest.fixture
def registry() -> Iterator[str]:
    """The address of a registry with the image `sample:1`."""
    layers = [layer_tar({f"f{n}": os.urandom(1 << 20)}) for n in range(3)]
    with registry_of(SampleImage((busybox_tar(), *layers)), "sample", "1") as host:
        yield host


def test_killed_at_any_moment(
    make_daemon: Callable[..., Daemon], tmp_path: Path, registry: str
) -> None:
    daemon = make_daemon()
    image = daemon.import_busybox()
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image}\nRUN echo a > /a\nCOPY Dockerfile /d\nRUN sleep 0.1; echo b > /b\n"
    )
    archive = tmp_path / "archive.tar"
    pulled = f"{registry}/sample:1"
    daemon.docker("pull", "-q", pulled)
    daemon.docker("save", "-o", str(archive), pulled)
    daemon.docker("rmi", pulled)
    dice = random.Random(7)  # a repeatable choice of moments
    for turn in range(ROUNDS):
        name = f"n{turn}"
        if turn % 6 == 0:
            daemon.docker("network", "create", f"net{turn}")
            daemon.docker("run", "-d", "--name", f"up{turn}", "-p", "80", image, "sleep", "1000")
        up, net = f"up{turn - turn % 6}", f"net{turn - turn % 6}"
        daemon.docker("start", up, check=False)  # a restart may have been cut short, or a removal
        actions = [  # what is done, and what must be there once it was acknowledged
            (["create", "--name", name, "-v", f"{name}:/v", image], ["container", "inspect", name]),
            (["run", "-d", "--name", name, "--tmpfs", "/t", "-p", "80", image, "sleep", "1000"],
             ["exec", name, "true"]),
            (["exec", up, "sh", "-c", "echo x > /x; cat /x"], ["exec", up, "true"]),
            (["build", "--no-cache", "-t", f"b:{turn}", str(tmp_path)],
             ["run", "--rm", f"b:{turn}", "cat", "/b"]),
            (["pull", pulled], ["run", "--rm", pulled, "md5sum", "/f2"]),
            (["load", "-i", str(archive)], ["run", "--rm", pulled, "md5sum", "/f2"]),
            (["commit", up, f"c:{turn}"], ["run", "--rm", f"c:{turn}", "true"]),
            (["rm", "-f", "-v", up], None),
            (["network", "connect", net, up], ["exec", up, "ip", "address", "show", "eth1"]),
            (["network", "create", name], ["network", "inspect", name]),
            (["volume", "create", name], ["volume", "inspect", name]),
            (["restart", "-t", "0", up], ["exec", up, "true"]),
            (["rmi", "-f", pulled], None),
        ]  # fmt: skip
        action, proof = actions[dice.randrange(len(actions))]
        client = daemon.spawn(*action, stdin=subprocess.DEVNULL)
        time.sleep(dice.random() * LONGEST_DELAY_S)
        acknowledged = client.poll() == 0
        daemon.kill9()
        client.kill()
        client.communicate()
        daemon.start()
        where = f"{turn}: {' '.join(action)} ({acknowledged=})"
        if acknowledged and proof is not None:
            done = daemon.docker(*proof, check=False)
            assert done.returncode == 0, (where, done.stderr, daemon.log[-3000:])
        assert settled(lambda: orphans(daemon)) == [], (where, daemon.log[-3000:])
    assert daemon.docker("run", "--rm", image, "echo", "ok").stdout == "ok\n"


def test_spawner_killed(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    image = daemon.import_busybox()
    daemon.docker("run", "-d", "--name", "stays", image, "sleep", "1000")
    dice = random.Random(11)
    for _turn in range(6):
        client = daemon.spawn("run", "--rm", image, "true", stdin=subprocess.DEVNULL)
        time.sleep(dice.random() * 0.15)
        for pid in helpers(daemon, "tiffin-spawner"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        client.communicate(timeout=20)
        assert daemon.docker("run", "--rm", image, "echo", "ok").stdout == "ok\n"
        assert daemon.docker("exec", "stays", "echo", "ok").stdout == "ok\n"
    assert settled(lambda: orphans(daemon)) == []


@pytest.mark.parametrize("during", ["the daemon's life", "its absence"])
def test_shims_killed(make_daemon: Callable[..., Daemon], during: str) -> None:
    daemon = make_daemon()
    image = daemon.import_busybox()
    daemon.docker("network", "create", "own")
    for name in ("one", "two"):
        daemon.docker("run", "-d", "--name", name, "-p", "80", "--network", "own", image,
                      "sh", "-c", "sleep 1000 & exec sleep 1001")  # fmt: skip
    daemon.docker("run", "-d", "--name", "again", "--restart", "always", image, "sleep", "1002")
    if during == "its absence":
        daemon.kill9()
    for pid in helpers(daemon, "tiffin-shim"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if during == "its absence":
        daemon.start()
    daemon.wait_until(
        lambda: daemon.docker("ps", "--format", "{{.Names}}").stdout.split() == ["again"],
        "the containers have ended, and one has begun again",
    )
    assert settled(lambda: orphans(daemon)) == []
    daemon.docker("start", "one")
    assert daemon.docker("exec", "one", "echo", "ok").stdout == "ok\n"


def test_power_cut(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    base = daemon.import_busybox()
    daemon.docker("build", "-t", "image", "-", input=f"FROM {base}\nRUN echo below > /below\n")
    daemon.docker("run", "--name", "box", "image", "sh", "-c", "echo mine > /mine; sync /mine")
    daemon.docker("create", "--name", "lost", "image", "cat", "/below")
    lost = daemon.docker("inspect", "-f", "{{.Id}}", "lost").stdout.strip()
    box = daemon.docker("inspect", "-f", "{{.Id}}", "box").stdout.strip()
    daemon.kill9()
    catalogue = sqlite3.connect(daemon.roots.snapshots / "catalogue.db")
    with catalogue:
        # As after a power cut: no layer was synced, and the last rows are not there.
        rows = catalogue.execute("SELECT directory FROM snapshots WHERE kind = 'committed'")
        for (directory,) in rows.fetchall():
            for path in (daemon.roots.snapshots / directory / "fs").rglob("*"):
                if path.is_file() and not path.is_symlink():
                    path.write_bytes(b"")
        catalogue.execute("UPDATE snapshots SET settled = 0, boot = 'another'")
        catalogue.execute("DELETE FROM snapshots WHERE name IN (?, ?)", (lost, box))
    catalogue.close()
    subprocess.run(["rm", "-rf", daemon.roots.data / "containers" / lost], check=True)
    daemon.start()
    assert daemon.docker("run", "--rm", "image", "cat", "/below").stdout == "below\n"
    assert daemon.docker("start", "-a", "lost").stdout == "below\n"
    assert daemon.docker("cp", "box:/mine", "-").returncode == 0
    assert "A /mine" in daemon.docker("diff", "box").stdout
    assert daemon.docker("start", "-a", "box").returncode == 0
    assert settled(lambda: orphans(daemon)) == []


def helpers(daemon: Daemon, name: str) -> list[int]:
    """Return the processes of this daemon with that name."""
    left = daemon._left_processes(with_helpers=True)
    return [int(entry.split()[1]) for entry in left if entry.split()[2] == name]


def settled(find: Callable[[], list[str]]) -> list[str]:
    """Return what is still found after the time that ending things takes."""
    deadline = time.monotonic() + 5
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
