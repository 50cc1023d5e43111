import os
import subprocess
from pathlib import Path

import pytest

from tiffin.engine.volumes.populate import populate
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.mount import Mount

pytestmark = pytest.mark.root


class Case:
    """An image with something in it, and an empty volume."""

    def __init__(self, tmp_path: Path) -> None:
        snapshotter = OverlaySnapshotter(tmp_path / "snapshots")
        for number in range(2):
            key = f"layer{number}"
            snapshotter.prepare("key", f"layer{number - 1}" if number else "")
            upper = snapshotter.upper("key")
            assert upper is not None
            self.fill(upper, number)
            snapshotter.commit(key, "key")
        self.rootfs = snapshotter.prepare("container", "layer1")
        snapshotter.close()
        self.data = tmp_path / "data"
        self.data.mkdir(0o755)
        self.volume = (Mount("bind", str(self.data), ("rbind",)),)

    def fill(self, upper: Path, number: int) -> None:
        srv = upper / "srv" / "www"
        srv.mkdir(parents=True)
        (srv / f"file{number}").write_text(f"text {number}")
        os.chown(srv / f"file{number}", 3, 4)
        srv.chmod(0o2770)
        os.chown(srv, 33, 34)
        (srv / "link").symlink_to("/etc/passwd")
        (srv / "shared").write_text(str(number))
        os.link(srv / "shared", srv / "linked")
        if not number:
            (upper / "alias").symlink_to("/srv/www")
            (upper / "out").symlink_to("../../../../../../srv")
            (upper / "file").write_text("x")
            (upper / "bare").mkdir(0o700)

    def populate(self, path: str) -> list[str]:
        populate(self.volume, self.rootfs, path)
        return sorted(os.listdir(self.data))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


CONTENT = ["file0", "file1", "link", "linked", "shared"]


@pytest.mark.parametrize("path", ["/srv/www", "/alias", "srv/../srv/www/", "/out/www"])
def test_an_empty_volume_gets_what_the_image_has(case: Case, path: str) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    descriptors = len(os.listdir("/proc/self/fd"))
    assert case.populate(path) == CONTENT
    status = case.data.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o2770, 33, 34)
    assert (case.data / "file0").read_text() == "text 0"
    assert (case.data / "file0").stat().st_gid == 4
    assert os.readlink(case.data / "link") == "/etc/passwd"
    assert (case.data / "shared").stat().st_ino == (case.data / "linked").stat().st_ino
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_an_empty_directory_still_gives_its_owner_and_mode(case: Case) -> None:
    assert case.populate("/bare") == []
    assert case.data.stat().st_mode & 0o7777 == 0o700


def test_a_volume_with_something_in_it_is_left_alone(case: Case) -> None:
    (case.data / "mine").touch()
    assert case.populate("/srv/www") == ["mine"]
    assert case.data.stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("path", ["/missing", "/file", "/file/below", "/srv/www/link"])
def test_there_may_be_nothing_to_copy(case: Case, path: str) -> None:
    assert case.populate(path) == []


def test_other_file_systems(case: Case, tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        populate((Mount("bind", str(place), ("rbind",)),), case.rootfs, "/srv/www")
        assert sorted(os.listdir(place)) == CONTENT
        assert (place / "file1").read_text() == "text 1"
    finally:
        subprocess.run(["umount", place], check=True)
