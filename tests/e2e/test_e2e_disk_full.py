"""A full disk: clear errors, nothing half-done, and all is well once there is space again."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon
from tests.e2e.e2e_remains import orphans, registry_of

from tiffin.testing.sample_images import SampleImage, archive, docker_members, layer_tar

pytestmark = pytest.mark.e2e

SIZE = 24 << 20
FULL = "no space left on device"
HUGE = SampleImage((layer_tar({"small": b"x"}), layer_tar({"huge": os.urandom(SIZE * 2 // 3)})))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon whose data lies on a small file system of its own."""
    small = Daemon()
    small.roots.data.mkdir(parents=True)
    data = str(small.roots.data)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "small", data], check=True)
    try:
        small.start()
        yield small
        assert small.stop() == 0
    finally:
        if small.process is not None:
            small.kill9()
        subprocess.run(["umount", "-l", data], check=True)
        small.destroy()


def used(daemon: Daemon) -> int:
    """Return the bytes in use, but for databases and their journals."""
    status = os.statvfs(daemon.roots.data)
    databases = sum(path.stat().st_size for path in daemon.roots.data.rglob("*.db*"))
    return (status.f_blocks - status.f_bfree) * status.f_bsize - databases


def test_images(daemon: Daemon, tmp_path: Path) -> None:
    image = daemon.import_busybox()
    before = used(daemon)
    (tmp_path / "a.tar").write_bytes(archive(docker_members(HUGE, ["huge:1"])))
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nRUN cat /dev/zero > /huge\n")
    (tmp_path / "huge").write_bytes(bytes(SIZE * 2))
    (tmp_path / "Copy").write_text("FROM scratch\nCOPY huge /huge\n")
    with registry_of(HUGE, "huge", "1") as host:
        commands = [
            ["load", "-i", str(tmp_path / "a.tar")],
            ["import", str(tmp_path / "huge")],
            ["pull", f"{host}/huge:1"],
            ["build", "-f", str(tmp_path / "Dockerfile"), "-"],
            ["build", "-f", str(tmp_path / "Copy"), str(tmp_path)],
        ]
        commands[3] = ["build", "-"]
        for command in commands:
            text = (tmp_path / "Dockerfile").read_text() if command[-1] == "-" else None
            done = daemon.docker(*command, input=text, check=False)
            assert done.returncode != 0, command
            assert FULL in (done.stdout + done.stderr).lower(), (command, done.stderr)
            daemon.docker("builder", "prune", "-af")
            assert used(daemon) - before < 1 << 20, command
            assert orphans(daemon) == [], command
    assert daemon.docker("run", "--rm", image, "echo", "ok").stdout == "ok\n"
    assert "Traceback" not in daemon.log


def test_pull_of_what_has_no_room(daemon: Daemon) -> None:
    """The bytes of a download that filled the disk are not kept for another attempt."""
    wide = SampleImage((layer_tar({"huge": os.urandom(SIZE * 3 // 2)}),))
    before = used(daemon)
    with registry_of(wide, "wide", "1") as host:
        done = daemon.docker("pull", f"{host}/wide:1", check=False)
    assert done.returncode == 1
    assert FULL in done.stderr.lower(), done.stderr
    assert used(daemon) - before < 1 << 20
    assert not list(daemon.roots.content.glob("ingest/*"))
    assert "Traceback" not in daemon.log


def test_containers(daemon: Daemon) -> None:
    image = daemon.import_busybox()
    daemon.docker("run", "-d", "--name", "logs", image, "sh", "-c",
                  "while [ ! -e /go ]; do sleep 0.05; done; yes | head -c 3000000; sleep 1000")  # fmt: skip
    greedy = "while :; do cat /dev/zero >> /f; sleep 0.02; done 2>/dev/null"
    daemon.docker("run", "-d", "--name", "fill", image, "sh", "-c", greedy)
    daemon.wait_until(lambda: os.statvfs(daemon.roots.data).f_bavail == 0, "the disk is full")
    for command in (
        ["run", "--rm", image, "true"],
        ["create", image],
        ["volume", "create"],
        ["network", "create", "none-left"],
        ["commit", "fill", "copy"],
        ["cp", __file__, "logs:/x"],
        ["tag", image, "other"],
    ):
        done = daemon.docker(*command, check=False)
        if done.returncode:  # it may find a place that it had already
            told = done.stderr.lower()
            assert FULL in told or "disk is full" in told, (command, done.stderr)
    assert daemon.docker("exec", "logs", "echo", "ok").stdout == "ok\n"
    daemon.docker("exec", "logs", "touch", "/go", check=False)
    daemon.docker("rm", "-f", "fill")
    # The kernel gives the blocks back when it has taken the ended container's mounts apart.
    daemon.wait_until(lambda: os.statvfs(daemon.roots.data).f_bavail > 0, "there is room again")
    daemon.docker("exec", "logs", "touch", "/go")
    assert daemon.docker("run", "--rm", image, "echo", "ok").stdout == "ok\n"
    daemon.restart()
    assert daemon.docker("exec", "logs", "echo", "ok").stdout == "ok\n"
    assert orphans(daemon) == []
    daemon.docker("rm", "-f", "logs")
    assert "Traceback" not in daemon.log
