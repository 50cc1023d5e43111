"""What was pruned or removed comes back: with Docker's client removing, and ours undoing."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

DOCKERFILE = "FROM {base}\nRUN echo made > /made\nLABEL stage=trash\n"


def furnish(daemon: Daemon, base: str) -> str:
    """Make an image, a volume with data, a network, and a stopped container on all of them."""
    built = daemon.docker("build", "-q", "-t", "app:v1", "-", input=DOCKERFILE.format(base=base))
    daemon.docker("network", "create", "--label", "a=b", "backend")
    daemon.docker("volume", "create", "data")
    container = daemon.docker(
        "run", "-d", "--name", "web", "--network", "backend", "-v", "data:/data", "-v", "/anon",
        "app:v1", "sh", "-c", "echo kept > /data/file; echo kept > /anon/file; echo kept > /file;"
        " cat /file; exit 3",
    ).stdout.strip()  # fmt: skip
    daemon.docker("wait", container)
    return built.stdout.strip()


def test_a_system_prune_is_undone(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    image = furnish(daemon, daemon.import_busybox())
    before = daemon.docker("inspect", "web").stdout
    subnet = daemon.docker("network", "inspect", "backend").stdout
    arguments = ("system", "prune", "-f", "-a", "--volumes")
    told = daemon.tiffin(*arguments, "--dry-run").stdout
    assert "Would delete containers:" in told
    assert "untagged: app:v1" in told
    assert "Total reclaimable space:" in told
    assert daemon.docker("inspect", "web").stdout == before

    daemon.docker("volume", "rm", "data", check=False)  # in use: stays
    pruned = daemon.docker(*arguments).stdout
    for line in told.splitlines():
        if line.startswith(("untagged", "deleted")) or line == "backend":
            assert line in pruned
    daemon.docker("volume", "rm", "data")
    assert daemon.docker("ps", "-aq").stdout == daemon.docker("images", "-q").stdout == ""

    # The trash outlives the daemon.
    daemon.kill9()
    daemon.start()
    listed = daemon.tiffin("undo", "--list").stdout.splitlines()
    assert [line.split()[1:3] for line in listed[1:]] == [["volume", "rm"], ["system", "prune"]]
    assert daemon.tiffin("undo").stdout == "Restored volume data\n"
    restored = daemon.tiffin("undo").stdout
    assert "Restored network backend" in restored
    assert "Restored container web" in restored
    assert daemon.docker("image", "inspect", "-f", "{{.Id}}", "app:v1").stdout.strip() == image
    after, old = (json.loads(text)[0] for text in (daemon.docker("inspect", "web").stdout, before))
    assert (after["Id"], after["State"]["ExitCode"]) == (old["Id"], 3)
    assert after["Mounts"] == old["Mounts"]
    assert daemon.docker("network", "inspect", "backend").stdout == subnet
    assert daemon.docker("logs", "web").stdout == "kept\n"
    daemon.docker("start", "web")
    daemon.docker("wait", "web")
    script = "cat /data/file /anon/file"
    shown = daemon.docker("run", "--rm", "--volumes-from", "web", "app:v1", "sh", "-c", script)
    assert shown.stdout == "kept\nkept\n"
    nothing = daemon.tiffin("undo", check=False)
    assert nothing.returncode == 1
    assert "The trash is empty" in nothing.stderr


def test_emptying_the_trash_frees_the_disk(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    base = daemon.import_busybox()
    daemon.docker("build", "-q", "-t", "big:v1", "-", input=(
        f"FROM {base}\nRUN head -c 20000000 /dev/urandom > /big\n"
    ))  # fmt: skip
    daemon.docker("builder", "prune", "-af")
    with_image = taken(daemon.roots.data)
    daemon.docker("rmi", "big:v1")
    assert taken(daemon.roots.data) > with_image - 10_000_000
    assert daemon.tiffin("image", "undo-rm", "big:v1").stdout.count("Restored") == 2
    assert daemon.docker("run", "--rm", "big:v1", "wc", "-c", "/big").stdout.startswith("20000000")
    daemon.docker("rmi", "big:v1")
    freed = daemon.tiffin("system", "empty-trash", "-f").stdout
    assert freed == "Total reclaimed space: 20MB\n"
    assert taken(daemon.roots.data) < with_image - 18_000_000
    daemon.docker("image", "inspect", base)


def test_nothing_is_kept_if_the_user_wants_that(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon("--trash-age", "0")
    daemon.docker("rmi", daemon.import_busybox())
    assert "The trash is empty" in daemon.tiffin("undo", check=False).stderr


def test_disk_usage_adds_up(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    furnish(daemon, daemon.import_busybox())
    daemon.docker("run", "--name", "gone", "app:v1", "sh", "-c", "head -c 3000000 /dev/zero > /x")
    daemon.docker("container", "prune", "-f", "--filter", "label!=keep")
    status, usage = daemon.api("GET", "/system/df?disk=1")
    assert status == 200
    disk = usage["Disk"]
    assert disk["Trash"] > 3_000_000
    assert disk["Image layers"] > 1_000_000 < disk["Image blobs"]
    assert disk["Volumes"] > 0
    du = subprocess.run(["du", "-s", "-B1", daemon.roots.data], capture_output=True, check=True)
    assert abs(sum(disk.values()) - int(du.stdout.split()[0])) < 100_000  # the database goes on
    shown = daemon.tiffin("system", "df", "-v").stdout
    assert "Disk usage:" in shown
    assert shown.splitlines()[-1].startswith("Total")
    assert "Disk" not in daemon.api("GET", "/system/df")[1]


def taken(root: Path) -> int:
    """Return the bytes of all files."""
    return sum(
        os.lstat(os.path.join(directory, name)).st_blocks * 512
        for directory, _, names in os.walk(root)
        for name in names
    )
