"""Builds what a guest boots: a kernel of the distribution, an initramfs, a root file system.

    initramfs   busybox, the kernel's modules, a script that loads them and goes on in the root
    root.ext4   this machine's Python with what the tests import, busybox, the project's src and tests
    data.img    an empty disk for limits on block I/O
    xfs.img     a disk for the daemon's data, whose file system has project quotas

Nothing is installed in it: files have the paths that they have here.
"""

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

KERNEL = "linux-image-cloud-amd64"
REPOSITORY = Path(__file__).resolve().parents[2]
SITE = "/site"
PROJECT = "/tiffin"

_MODULES = (
    "virtio_pci", "virtio_blk", "overlay", "veth", "bridge", "dummy", "loop", "xfs", "bfq",
    "nf_tables", "nf_conntrack", "nf_conntrack_netlink", "nf_nat", "nft_chain_nat", "nft_ct",
    "nft_nat", "nft_masq", "nft_redir", "nft_fib_ipv4", "nft_fib_ipv6", "nft_fib_inet",
    "nft_reject_inet", "nft_limit", "nft_hash", "macvlan", "tun",
)  # fmt: skip
_PACKAGES = (
    "aiohttp", "aiohappyeyeballs", "aiosignal", "attr", "frozenlist", "idna", "isal", "msgspec",
    "multidict", "propcache", "yarl", "zstandard", "pytest", "_pytest", "pluggy", "iniconfig",
    "packaging", "pygments", "pytest_asyncio", "pytest_timeout", "typing_extensions", "py",
)  # fmt: skip
_UNWANTED = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages",
    "dist-packages", "config-*", "*.a", "distutils", "pydoc_data", "*.dist-info",
)  # fmt: skip
_INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in {modules}; do /bin/busybox insmod /modules/$module || echo "no $module"; done
/bin/busybox mount -t ext4 /dev/vda /root || exec /bin/busybox poweroff -f
exec /bin/busybox switch_root /root {python} -S {project}/tests/guest/guest_init.py
"""


@dataclass(frozen=True, slots=True)
class GuestImage:
    """The files that the emulator is given."""

    kernel: Path
    initramfs: Path
    root: Path
    data: Path
    xfs: Path


def build(cache: Path, work: Path) -> GuestImage:
    """Make the files; `cache` keeps the kernel from one time to the next."""
    tree = fetch_kernel(cache)
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    initramfs, root, data, xfs = (
        work / name for name in ("initramfs", "root.ext4", "data.img", "xfs.img")
    )
    initramfs.write_bytes(b"".join(_initramfs(tree)))
    staging = work / "root"
    _stage(staging)
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-d", str(staging), str(root),
         "900M"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    shutil.rmtree(staging)
    for path, size in ((data, 64 << 20), (xfs, 400 << 20)):
        with path.open("wb") as file:
            file.truncate(size)
    subprocess.run(["mkfs.xfs", "-q", str(xfs)], check=True)
    return GuestImage(kernel, initramfs, root, data, xfs)


def fetch_kernel(cache: Path) -> Path:
    """Return the unpacked package of the distribution's newest cloud kernel."""
    tree = cache / "kernel"
    if tree.is_dir():
        return tree
    cache.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["apt-cache", "depends", KERNEL], capture_output=True, text=True, check=True
    ).stdout
    package = re.search(r"Depends: (linux-image-\S+)", listed)
    if package is None:
        raise RuntimeError(f"apt knows no {KERNEL}: run apt-get update")
    subprocess.run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package[1]],
        cwd=cache, check=True,
    )  # fmt: skip
    (archive,) = cache.glob(f"{package[1]}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(archive), str(cache / "unpacked")], check=True)
    archive.unlink()
    (cache / "unpacked").rename(tree)
    return tree


# The initramfs: cpio in the "newc" form (Documentation/driver-api/early-userspace/buffer-format).


def _initramfs(tree: Path) -> Iterator[bytes]:
    modules = list(_with_dependencies(tree, _MODULES))
    script = _INIT.format(
        modules=" ".join(path.name for path in modules),
        python=_python(),
        project=PROJECT,
    )
    for name in ("bin", "dev", "modules", "root"):
        yield _entry(name, stat.S_IFDIR | 0o755)
    yield _entry("bin/busybox", stat.S_IFREG | 0o755, Path(_busybox()).read_bytes())
    for path in modules:
        yield _entry(f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
    yield _entry("init", stat.S_IFREG | 0o755, script.encode())
    yield _entry("TRAILER!!!", 0)


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _with_dependencies(tree: Path, names: Iterable[str]) -> Iterator[Path]:
    """Yield modules, each after those that it needs; what is built in has no file."""
    files = {path.name.partition(".")[0].replace("-", "_"): path for path in tree.rglob("*.ko")}
    done: set[str] = set()

    def load(name: str) -> Iterator[Path]:
        path = files.get(name)
        if name in done or path is None:
            return
        done.add(name)
        needed = re.search(rb"\0depends=([^\0]*)\0", b"\0" + path.read_bytes())
        for other in (needed[1].decode() if needed else "").split(","):
            yield from load(other.replace("-", "_"))
        yield path

    for name in names:
        yield from load(name)


# The root.


def _stage(root: Path) -> None:
    for name in ("bin", "dev", "proc", "sys", "run", "tmp", "root", "var/tmp", "etc", "usr/bin"):
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    shutil.copy2(_busybox(), root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    binaries = [Path(_python()), *_stage_library(root), *_stage_packages(root)]
    _copy(Path(_python()), root)
    for library in _shared_libraries(binaries):
        _copy(library, root)
    project = root / PROJECT.strip("/")
    ignored = shutil.ignore_patterns("__pycache__", ".clients", ".cache", "*.pyc")
    shutil.copytree(REPOSITORY / "src", project / "src", ignore=ignored)
    shutil.copytree(REPOSITORY / "tests", project / "tests", ignore=ignored)
    shutil.copy(REPOSITORY / "pyproject.toml", project)
    # The guest is slow enough without a compiler at work.
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode",
         "unchecked-hash", "-s", str(root), "-p", "/", str(project), str(root / SITE.strip("/"))],
        check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _stage_library(root: Path) -> list[Path]:
    """Copy the standard library; return its extension modules."""
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    shutil.copytree(library, root / str(library).strip("/"), ignore=_UNWANTED, symlinks=True)
    return list(library.glob("lib-dynload/*.so"))


def _stage_packages(root: Path) -> list[Path]:
    """Copy what the tests import; return its extension modules."""
    target = root / SITE.strip("/")
    target.mkdir()
    extensions: list[Path] = []
    for name in _PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, target / name, ignore=_UNWANTED)
            extensions += origin.parent.rglob("*.so")
        else:
            shutil.copy(origin, target)
    metadata = Path(importlib.util.find_spec("pytest").origin).parents[1]  # type: ignore[union-attr,arg-type]
    for name in ("pluggy", "pytest", "pytest_asyncio", "pytest_timeout"):
        for path in metadata.glob(f"{name}-*.dist-info"):
            shutil.copytree(path, target / path.name)
    return extensions


def _shared_libraries(binaries: Sequence[Path]) -> set[Path]:
    done = subprocess.run(
        ["ldd", *map(str, binaries)], capture_output=True, text=True, check=False
    ).stdout
    return {Path(found) for found in re.findall(r"(/\S+\.so\S*) \(0x", done)}


def _copy(path: Path, root: Path) -> None:
    """Copy a file to its own path below `root`; links become what they point to."""
    target = root / str(path).strip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


def _python() -> str:
    return os.path.realpath(sys.executable)


def _busybox() -> str:
    found = shutil.which("busybox")
    if found is None:
        raise RuntimeError("a static busybox is needed")
    return found
