import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tiffin.linux.mounts import detached
from tiffin.snapshots.native import NativeSnapshotter
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.snapshots.snapshotter import Kind, Snapshotter

pytestmark = pytest.mark.root


@pytest.fixture(params=[OverlaySnapshotter, NativeSnapshotter])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Snapshotter]:
    mounts = Path("/proc/self/mountinfo").read_text()
    made = request.param(tmp_path / "odd: name, \\ with everything")
    yield made
    made.close()
    assert Path("/proc/self/mountinfo").read_text() == mounts


@contextmanager
def mounted(snapshotter: Snapshotter, key: str) -> Iterator[Path]:
    fd = detached(snapshotter.mounts(key))
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def test_layers_stack(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("one")
    with mounted(snapshotter, "one") as root:
        (root / "a").write_text("a1")
        (root / "b").write_text("b1")
    snapshotter.commit("layer one", "one")
    snapshotter.prepare("two", "layer one")
    with mounted(snapshotter, "two") as root:
        assert (root / "a").read_text() == "a1"
        (root / "a").unlink()
        (root / "b").write_text("b2")
    snapshotter.commit("layer two", "two")
    for key, content in (("layer one", ["a", "b"]), ("layer two", ["b"])):
        snapshotter.view(f"view of {key}", key)
        with mounted(snapshotter, f"view of {key}") as root:
            assert sorted(os.listdir(root)) == content
            with pytest.raises(OSError, match="Read-only"):
                (root / "new").touch()
    snapshotter.prepare("container", "layer two")
    with mounted(snapshotter, "container") as root:
        (root / "b").write_text("b3")
    with mounted(snapshotter, "view of layer two") as root:
        assert (root / "b").read_text() == "b2"


def test_the_root_directory_is_as_below(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("one")
    with mounted(snapshotter, "one") as root:
        os.chown(root, 5, 6)
        root.chmod(0o1751)
    snapshotter.commit("layer", "one")
    snapshotter.prepare("two", "layer")
    with mounted(snapshotter, "two") as root:
        status = root.stat()
        assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o1751, 5, 6)


def test_many_layers(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path / ("long" * 20))
    parent = ""
    for number in range(130):
        snapshotter.prepare("key", parent)
        upper = snapshotter.upper("key")
        assert upper is not None
        (upper / f"file{number}").touch()
        parent = f"layer{number}"
        snapshotter.commit(parent, "key")
    snapshotter.prepare("container", parent)
    snapshotter.view("view", parent)
    for key in ("container", "view"):
        with mounted(snapshotter, key) as root:
            assert len(os.listdir(root)) == 130
    snapshotter.close()


def test_directories_can_be_renamed_without_redirects(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path)
    snapshotter.prepare("one")
    with mounted(snapshotter, "one") as root:
        (root / "dir").mkdir()
    snapshotter.commit("layer", "one")
    snapshotter.prepare("two", "layer")
    with mounted(snapshotter, "two") as root:
        subprocess.run(["mv", root / "dir", root / "moved"], check=True, pass_fds=[int(root.name)])
    upper = snapshotter.upper("two")
    assert upper is not None
    assert not [each for each in os.listxattr(upper / "moved") if "redirect" in each]
    snapshotter.close()


WORKER = """
import sys
from pathlib import Path
from tiffin.snapshots.overlay import OverlaySnapshotter
snapshotter = OverlaySnapshotter(Path(sys.argv[1]), settle_delay_s=0.01)
snapshotter.recover({"kept"})
number = len(list(snapshotter.walk()))
print("ready", flush=True)
while True:
    number += 1
    key, name = f"key{number}", f"layer{number}-{sys.argv[2]}"
    mounts = snapshotter.prepare(key, "base")
    (snapshotter.upper(key) / "data").write_bytes(b"x" * 1000)
    snapshotter.commit(name, key)
    snapshotter.prepare(f"{key} again", name)
    snapshotter.view(f"{key} view", name)
    snapshotter.remove(f"{key} view")
    snapshotter.remove(f"{key} again")
    if number % 2:
        snapshotter.remove(name)
"""


def test_kills_at_any_moment_leave_nothing_half_done(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path)
    snapshotter.prepare("key")
    snapshotter.commit("base", "key")
    snapshotter.prepare("kept", "base")
    snapshotter.close()
    committed: set[str] = set()
    for number in range(12):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), str(number)], stdout=subprocess.PIPE
        )
        assert worker.stdout is not None
        with worker:
            assert worker.stdout.readline() == b"ready\n"
            time.sleep(0.003 * number)  # the moment is what is varied
            worker.send_signal(signal.SIGKILL)
        snapshotter = OverlaySnapshotter(tmp_path)
        dropped = snapshotter.recover({"kept"})
        assert all(name.startswith("key") for name in dropped)
        infos = list(snapshotter.walk())
        assert {info.name for info in infos if info.kind is not Kind.COMMITTED} == {"kept"}
        names = {info.name for info in infos if info.kind is Kind.COMMITTED}
        assert committed <= names
        for name in names - {"base"}:
            upper = snapshotter.upper(name)
            assert upper is not None
            assert (upper / "data").read_bytes() == b"x" * 1000
        directories = [path for path in tmp_path.iterdir() if path.is_dir()]
        assert len(directories) == len(infos)
        committed = names
        snapshotter.close()
