"""A builder on real stores, with an executor that runs commands in a chroot."""

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiffin.build.cache import BuildCache
from tiffin.build.cancellation import CancellationToken
from tiffin.build.executor import Cancellation, Output, RunRequest
from tiffin.build.fetch import Fetched
from tiffin.build.graph import Layer
from tiffin.content.local import LocalContentStore
from tiffin.engine.build.request import BuildRequest
from tiffin.engine.build.run import BuildRun
from tiffin.errors import NotFound
from tiffin.fs.rooted import Root
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.manifests import has_blob
from tiffin.images.store import ImageStore
from tiffin.images.write import create_image, write_blob
from tiffin.linux.mounts import detached, perform
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.descriptor import OCI_LAYER
from tiffin.spec.digest import Digest, digest_bytes
from tiffin.spec.image import History, ImageConfig
from tiffin.spec.platform import Platform
from tiffin.spec.reference import parse_reference
from tiffin.state.database import Database
from tiffin.state.images import ImageRecords


def tar_of(files: Mapping[str, Any]) -> bytes:
    """Make a tar: str/bytes are files, a tuple (content, mode) too, None a directory, `->x` a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, value in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_600_000_000
            content, member.mode = value if isinstance(value, tuple) else (value, 0o644)
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(member)
            elif isinstance(content, str) and content.startswith("->"):
                member.type, member.linkname = tarfile.SYMTYPE, content[2:]
                archive.addfile(member)
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def enter(root: str, directory: str) -> None:
    os.chroot(root)
    os.chdir(directory)


class ChrootExecutor:
    """Runs commands in a chroot on a temporarily mounted root; remembers requests."""

    def __init__(self) -> None:
        self.requests: list[RunRequest] = []

    def run(self, request: RunRequest, output: Output, cancelled: Cancellation) -> int:
        self.requests.append(request)
        place = tempfile.mkdtemp(prefix="tiffin-test-root-")
        perform(request.rootfs, place)
        mounted = [place]
        try:
            for mount in request.mounts:
                target = Path(place) / mount.target.lstrip("/")
                if os.path.isdir(mount.source) or mount.fstype == "tmpfs":
                    target.mkdir(parents=True, exist_ok=True)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.touch()
                perform([mount.__class__(mount.fstype, mount.source, mount.options)], str(target))
                mounted.append(str(target))
            done = subprocess.Popen(
                request.arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=dict(item.partition("=")[::2] for item in request.environment),
                preexec_fn=lambda: enter(place, request.working_dir),  # noqa: PLW1509  # test only
            )  # fmt: skip
            unsubscribe = cancelled.subscribe(done.kill)
            data, _ = done.communicate()
            unsubscribe()
            output(data)
            return done.returncode
        finally:
            for target_path in reversed(mounted):
                subprocess.run(["umount", target_path], check=True)
            os.rmdir(place)


class NoFetcher:
    """Serves canned files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def fetch(self, url: str, directory: Path) -> Fetched:
        if url not in self.files:
            raise NotFound(url)
        data = self.files[url]
        place = directory / "download"
        place.write_bytes(data)
        return Fetched(place, url.rsplit("/", 1)[1], digest_bytes(data).partition(":")[2])


@dataclass
class Images:
    """Images that are here."""

    store: ImageStore

    def find(self, name: str, platform: Platform | None, lease: Lease) -> Image:
        return self.store.resolve(name)

    def local(self, name: str, lease: Lease) -> Image | None:
        return self.store.resolve(name)


@dataclass
class Rig:
    root: Path
    store: ImageStore
    cache: BuildCache
    executor: ChrootExecutor = field(default_factory=ChrootExecutor)
    fetcher: NoFetcher = field(default_factory=NoFetcher)
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    token: CancellationToken = field(default_factory=CancellationToken)
    closers: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        for close in (self.cache.close, *self.closers):
            close()

    def build(self, files: Mapping[str, Any], **options: Any) -> Image:  # noqa: ANN401
        self.lines.clear()
        names = tuple(parse_reference(name) for name in options.pop("names", ()))
        request = BuildRequest(names=names, **options)
        run = BuildRun(
            request, self.store, self.cache, Images(self.store), self.executor,  # type: ignore[arg-type]
            self.fetcher, self.token, self.lines.append,
        )  # fmt: skip
        return run.run(io.BytesIO(tar_of(files)))

    @property
    def log(self) -> str:
        return "".join(str(line.get("stream", "")) for line in self.lines)

    @contextmanager
    def look(self, image: Image) -> Iterator[Root]:
        key = "test-look"
        mounts = self.store.snapshotter.view(key, image.chain_id)
        try:
            with Root(detached(mounts)) as root:
                yield root
        finally:
            self.store.snapshotter.remove(key)

    def read(self, image: Image, path: str) -> str:
        with self.look(image) as root, open(root.open(path, os.O_RDONLY)) as file:
            return file.read()

    def listing(self, image: Image, path: str) -> list[str]:
        with self.look(image) as root:
            return root.listdir(path)

    def stat(self, image: Image, path: str) -> os.stat_result:
        with self.look(image) as root:
            return root.stat(path)

    def add_base(self, name: str, config: ContainerConfig | None = None) -> Image:
        busybox = shutil.which("busybox")
        assert busybox, "these tests need a static busybox"
        members: dict[str, Any] = {
            "bin": None, "etc": None, "tmp": None, "usr": None, "usr/lib": None,
            "lib": "->usr/lib",
            "bin/busybox": (Path(busybox).read_bytes(), 0o755),
            "etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n",
            "etc/group": "root:x:0:\nstaff:x:50:app\n",
        }  # fmt: skip
        for applet in ("sh", "cat", "echo", "ls", "mkdir", "rm", "touch", "sleep", "test", "id",
                       "chmod", "ln", "env", "stat", "true", "false", "date", "cp"):  # fmt: skip
            members[f"bin/{applet}"] = "->busybox"
        data = tar_of(members)
        diff_id = digest_bytes(data)
        with self.store.lease() as lease:
            layer = write_blob(self.store.content, lease, data, OCI_LAYER)
            image = ImageConfig(
                architecture="amd64", created="2020-01-01T00:00:00Z",
                config=config or ContainerConfig(env=("PATH=/bin",), cmd=("/bin/sh",)),
            ).append_layer(diff_id, History("2020-01-01T00:00:00Z", "base"))  # fmt: skip
            return create_image(self.store.content, self.store, image, [layer],
                                names=[parse_reference(name)])  # fmt: skip

    def leftovers(self) -> list[str]:
        """Return temporary snapshots and scratch directories that should not be there."""
        found = [i.name for i in self.store.snapshotter.walk() if i.name.startswith("build-")]
        return found + [path.name for path in self.cache.work.iterdir()]


def make_rig(path: Path) -> Rig:
    path.mkdir(exist_ok=True)
    content = LocalContentStore(path / "content")
    snapshotter = OverlaySnapshotter(path / "snapshots")
    database = Database(path / "state.db")
    store = ImageStore(content, snapshotter, ImageRecords(database))

    def is_present(layer: Layer) -> bool:
        return has_blob(content, layer.diff_id) and store.unpacker.has(Digest(layer.chain_id))

    rig = Rig(path, store, BuildCache(path / "build", is_present))
    rig.closers += [database.close, snapshotter.close]
    store.add_roots(
        lambda: [n for each in rig.cache.layers() for n in (each.diff_id, each.chain_id)]
    )
    return rig
