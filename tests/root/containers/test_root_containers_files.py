"""Files of containers on the real kernel: looked up, copied and exported, never out of the root."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiffin.api.types.containers import CreateRequest
from tiffin.api.types.host_config import HostConfig
from tiffin.engine.containers.launch import find_account
from tiffin.engine.containers.service import Containers
from tiffin.errors import InvalidArgument, NotFound, PermissionDenied
from tiffin.linux.mounts import detached
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.container_config import ContainerConfig
from tiffin.testing.fake_engine import Lab, make_image

pytestmark = pytest.mark.root


class RealLab(Lab):
    """The lab, with overlay snapshots that are really mounted."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.overlay = OverlaySnapshotter(path / "overlay")
        object.__setattr__(self.context, "snapshotter", self.overlay)
        object.__setattr__(self.context, "open_mounts", detached)
        image = make_image(ContainerConfig(cmd=("sh",)), ["layer"])
        mounts = self.overlay.prepare("key")
        self.fill(Path(mounts[0].source))
        self.overlay.commit(image.chain_id, "key")
        self.images.images["bb"] = image

    @staticmethod
    def fill(root: Path) -> None:
        for name in ("etc", "data", "dir/sub"):
            (root / name).mkdir(parents=True)
        (root / "etc/passwd").write_text("root:x:0:0::/root:\nuser:x:7:8::/home/user:\n")
        (root / "etc/group").write_text("extra:x:9:user\n")
        (root / "dir/file").write_text("content")
        (root / "link").symlink_to("dir")
        (root / "out").symlink_to("/../../../../../../etc")


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RealLab]:
    lab = RealLab(tmp_path)
    yield lab
    await lab.context.store.close()
    lab.overlay.close()
    lab.database.close()


@pytest.fixture
async def service(lab: RealLab) -> AsyncIterator[Containers]:
    mounts = Path("/proc/self/mountinfo").read_text()
    service = Containers(lab.context)
    yield service
    await service.close()
    left = set(Path("/proc/self/mountinfo").read_text().splitlines()) - set(mounts.splitlines())
    assert not [line for line in left if str(lab.path) in line]


async def make(service: Containers, **host: object) -> str:
    request = CreateRequest(image="bb", host_config=HostConfig(**host))  # type: ignore[arg-type]
    return (await service.create(request)).id


def tar(**files: str) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    out.seek(0)
    return out


def names(data: io.BytesIO) -> list[str]:
    data.seek(0)
    with tarfile.open(fileobj=data) as archive:
        return archive.getnames()


async def test_users_come_from_the_image(lab: RealLab, service: Containers) -> None:
    container = service.find(await make(service))
    container.spec.config.user = "user"
    account = await asyncio.to_thread(find_account, lab.context, container)
    assert (account.uid, account.gid, account.groups, account.home) == (7, 8, (8, 9), "/home/user")


async def test_passwd_never_is_the_hosts_nor_a_device(lab: RealLab, service: Containers) -> None:
    container = service.find(await make(service))
    upper = lab.overlay.upper(container.id)
    assert upper is not None
    (upper / "etc").mkdir()
    (upper / "etc/passwd").symlink_to("/../../../../../../../../etc/passwd")
    container.spec.config.user = "daemon"
    with pytest.raises(Exception, match=r"unable to find user daemon|symbolic links"):
        await asyncio.to_thread(find_account, lab.context, container)
    (upper / "etc/passwd").unlink()
    os.mknod(upper / "etc/passwd", 0o666 | 0o020000, os.makedev(1, 5))
    with pytest.raises(Exception, match="unable to find user daemon"):
        await asyncio.to_thread(find_account, lab.context, container)


async def test_copying_out(service: Containers) -> None:
    archives = await service.archives(await make(service))
    stat = archives.stat("/link")
    assert (stat.name, stat.link_target) == ("link", "/dir")
    assert stat.mode & 1 << 27
    assert archives.stat("/dir").mode & 1 << 31
    out = io.BytesIO()
    archives.pack("/dir", out)
    assert names(out) == ["dir", "dir/file", "dir/sub"]
    out = io.BytesIO()
    archives.pack("/link/.", out)
    assert sorted(name.removeprefix("./") for name in names(out)) == [".", "file", "sub"]
    out = io.BytesIO()
    archives.pack("/out/", out)
    assert "out/passwd" in names(out)
    assert "out/shadow" not in names(out), "that would be the host's /etc"
    for gone in ("/nope", "/dir/file/x"):
        with pytest.raises(NotFound, match="Could not find the file"):
            archives.stat(gone)


async def test_copying_in(lab: RealLab, service: Containers, tmp_path: Path) -> None:
    identifier = await make(service)
    archives = await service.archives(identifier)
    archives.unpack("/dir", tar(new="1"))
    archives.unpack("/out", tar(hosts="inside"))
    upper = lab.overlay.upper(identifier)
    assert upper is not None
    assert (upper / "dir/new").read_text() == "1"
    assert (upper / "etc/hosts").read_text() == "inside"
    with pytest.raises(NotFound):
        archives.unpack("/nope", tar(x="1"))
    with pytest.raises(InvalidArgument, match="not a directory"):
        archives.unpack("/dir/file", tar(x="1"))
    changed = {(item.path, item.kind) for item in await service.changes(identifier)}
    assert {("/dir", 0), ("/dir/new", 1), ("/etc/hosts", 1)} >= {
        item for item in changed if item[0] != "/etc"
    }


async def test_volumes_of_a_stopped_container(lab: RealLab, service: Containers) -> None:
    identifier = await make(service, binds=["named:/data", "other:/never/made"])
    archives = await service.archives(identifier)
    archives.unpack("/data", tar(x="in the volume"))
    assert (lab.volumes.root / "named/x").read_text() == "in the volume"
    assert archives.stat("/data/x").size == 13
    archives.unpack("/never/made", tar(y="2"))
    assert (lab.volumes.root / "other/y").read_text() == "2"


async def test_what_is_read_only(service: Containers) -> None:
    archives = await service.archives(await make(service, readonly_rootfs=True))
    with pytest.raises(PermissionDenied, match="container rootfs is marked read-only"):
        archives.unpack("/dir", tar(x="1"))
    archives = await service.archives(await make(service, binds=["named:/data:ro"]))
    with pytest.raises(PermissionDenied, match="mounted volume is marked read-only"):
        archives.unpack("/data", tar(x="1"))


async def test_export_while_the_snapshot_is_in_use(lab: RealLab, service: Containers) -> None:
    identifier = await make(service)
    running = detached(lab.overlay.mounts(identifier))
    try:
        Path(f"/proc/self/fd/{running}/dir/file").unlink()
        Path(f"/proc/self/fd/{running}/fresh").write_text("1")
        archives = await service.archives(identifier)
        out = io.BytesIO()
        archives.export(out)
        assert "fresh" in names(out)
        assert "dir/file" not in names(out)
    finally:
        os.close(running)
