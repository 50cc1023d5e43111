"""Applying a layer against `tar -x` on the same bytes, both in one run; and making a snapshot.

    sudo .venv/bin/python benchmarks/layers.py [LAYER.tar] [--rounds N]

Without an archive one is made up: 8,000 small files in 800 directories and some large ones, 120 MB.
Ours includes the layer's digest; the ratio is what counts (budget: at least 0.8).
"""

import argparse
import hashlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tiffin.fs.tar import Entry, EntryKind, TarWriter
from tiffin.layers.apply import Form, apply_to
from tiffin.snapshots.overlay import OverlaySnapshotter

DIRECTORIES, FILES_EACH, LARGE = 800, 10, 8
MEBIBYTE = 1 << 20


def make_archive(path: Path) -> None:
    dice = random.Random(1)
    with path.open("wb") as sink:
        writer = TarWriter(sink)
        for number in range(DIRECTORIES):
            directory = f"usr/share/{number % 20}/{number}"
            writer.add(Entry(directory, EntryKind.DIRECTORY, 0o755))
            for file in range(FILES_EACH):
                data = dice.randbytes(int(dice.lognormvariate(8, 1.2)))
                writer.add(Entry(f"{directory}/{file}", size=len(data), mtime_ns=10**18), data)
            writer.add(Entry(f"{directory}/link", EntryKind.SYMLINK, 0o777, link="0"))
        for number in range(LARGE):
            data = dice.randbytes(8 * MEBIBYTE)
            writer.add(Entry(f"usr/lib/large{number}", size=len(data)), data)
        writer.finish()


def timed(work: Callable[[Path], object], scratch: Path) -> float:
    target = scratch / "target"
    target.mkdir()
    start = time.perf_counter()
    work(target)
    elapsed = time.perf_counter() - start
    shutil.rmtree(target)
    return elapsed


def untar(archive: Path, target: Path) -> None:
    command = ["tar", "--xattrs", "--xattrs-include=*", "-C", str(target), "-xf", str(archive)]
    subprocess.run(command, check=True)


def apply(archive: Path, target: Path) -> None:
    with archive.open("rb", buffering=0) as stream:
        apply_to(stream, target, Form.OVERLAY)


def snapshots(scratch: Path, count: int = 200) -> tuple[float, float]:
    """Return milliseconds per prepare and per remove of a container's snapshot."""
    snapshotter = OverlaySnapshotter(scratch / "snapshots")
    snapshotter.prepare("key")
    snapshotter.commit("layer", "key")
    start = time.perf_counter()
    for number in range(count):
        snapshotter.prepare(f"container{number}", "layer")
    middle = time.perf_counter()
    for number in range(count):
        snapshotter.remove(f"container{number}")
    end = time.perf_counter()
    snapshotter.close()
    return (middle - start) / count * 1e3, (end - middle) / count * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archive", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scratch", default="/var/tmp")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        scratch = Path(name)
        archive = options.archive
        if archive is None:
            archive = scratch / "layer.tar"
            make_archive(archive)
        size = archive.stat().st_size
        ours, theirs, ratios = [], [], []
        for _ in range(options.rounds):
            theirs.append(timed(lambda target: untar(archive, target), scratch))
            ours.append(timed(lambda target: apply(archive, target), scratch))
            ratios.append(theirs[-1] / ours[-1])
        with archive.open("rb") as stream:
            start = time.perf_counter()
            hashlib.file_digest(stream, "sha256")
            hashing = time.perf_counter() - start
        print(f"layer of {size / 1e6:.0f} MB, {options.rounds} rounds, medians")
        print(f"  tar -x        {statistics.median(theirs):7.3f} s")
        print(f"  apply         {statistics.median(ours):7.3f} s   (sha256 alone {hashing:.3f} s)")
        print(f"  ratio         {statistics.median(ratios):7.2f}     budget 0.8")
        prepare, remove = snapshots(scratch)
        print(f"  prepare       {prepare:7.3f} ms    remove {remove:.3f} ms")


if __name__ == "__main__":
    main()
