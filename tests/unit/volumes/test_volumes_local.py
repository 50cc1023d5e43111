import os
from pathlib import Path

import pytest

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.spec.mount import Mount
from tiffin.testing.volume_contract import VolumeDriverContract, volume
from tiffin.volumes.local import LocalVolumes


@pytest.fixture
def local(tmp_path: Path) -> LocalVolumes:
    return LocalVolumes(tmp_path / "volumes")


class TestLocal(VolumeDriverContract):
    @pytest.fixture
    def driver(self, local: LocalVolumes) -> LocalVolumes:
        return local


def test_data_is_a_directory(local: LocalVolumes, tmp_path: Path) -> None:
    spec = volume(local)
    local.create(spec)
    data = tmp_path / "volumes" / spec.id / "data"
    assert local.mountpoint(spec) == str(data)
    assert local.mounts(spec) == (Mount("bind", str(data), ("rbind",)),)
    assert data.stat().st_mode & 0o777 == 0o755
    assert data.parent.stat().st_mode & 0o777 == 0o711
    (data / "file").write_text("12345")
    assert local.usage(spec) == 5
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(FailedPrecondition, match="'data' has lost its data"):
        local.mounts(spec)


@pytest.mark.parametrize(
    ("options", "mount"),
    [
        (
            {"type": "none", "o": "bind,ro", "device": "/srv"},
            Mount("bind", "/srv", ("bind", "ro")),
        ),
        (
            {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=5"},
            Mount("tmpfs", "tmpfs", ("size=64m", "uid=5")),
        ),
        (
            {"type": "nfs", "device": ":/export", "o": "addr=127.0.0.1,rw"},
            Mount("nfs", ":/export", ("addr=127.0.0.1", "rw")),
        ),
        (
            {"type": "nfs4", "device": ":/export", "o": "addr=localhost"},
            Mount("nfs4", ":/export", ("addr=127.0.0.1",)),
        ),
        ({"type": "ext4", "device": "/dev/sdz"}, Mount("ext4", "/dev/sdz")),
    ],
)
def test_options_are_a_mount(local: LocalVolumes, options: dict[str, str], mount: Mount) -> None:
    spec = volume(local, options=options)
    local.create(spec)
    (got,) = local.mounts(spec)
    assert got in (mount, Mount(mount.fstype, mount.source, ("addr=::1",)))
    assert local.usage(spec) == -1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foo": "bar"}, 'invalid option: "foo"'),
        ({"type": "none"}, 'missing required option: "device"'),
        ({"device": "/x"}, 'missing required option: "type"'),
        ({"o": "bind"}, 'missing required option: "device"'),
        ({"size": "1g"}, "quota size requested but no quota support"),
    ],
)
def test_options_are_checked(
    local: LocalVolumes, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        local.create(volume(local, options=options))
    assert not os.listdir(tmp_path / "volumes")


def test_removal_is_for_good(local: LocalVolumes, tmp_path: Path) -> None:
    spec = volume(local)
    local.create(spec)
    (Path(local.mountpoint(spec)) / "file").write_text("gone")
    local.remove(spec)
    assert not os.listdir(tmp_path / "volumes")


def test_recovery_finds_strays_and_removes_empty_ones(local: LocalVolumes, tmp_path: Path) -> None:
    kept, stray, empty = (volume(local, id=name, name=name) for name in ("kept", "stray", "empty"))
    for spec in (kept, stray, empty):
        local.create(spec)
    (Path(local.mountpoint(stray)) / "file").write_text("precious")
    assert local.recover({kept.id}) == ["stray"]
    assert sorted(os.listdir(tmp_path / "volumes")) == ["kept", "stray"]
