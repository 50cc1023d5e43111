"""Where the time of one container's life goes: wall time by request, processor time by process.

Processor time comes from a cpuacct group of its own for the daemon, for the spawner with its shims,
and for what runs in containers; it tells a gain even on a machine that has other work.
Run as root (cgroup v1): `python benchmarks/life.py [-n ROUNDS] [--network]`.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import floor as bare
from engine import IMAGE, Engine, import_image

from tiffin.client.api import Api
from tiffin.linux.cgroups.layout import detect


class Meter:
    """One cpuacct group."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def take(self, pid: int) -> None:
        """Count this process and what it forks from now on."""
        (self._directory / "cgroup.procs").write_text(str(pid))

    def seconds(self) -> float:
        """Return what was used so far, by processes that have ended, too."""
        return int((self._directory / "cpuacct.usage").read_text()) / 1e9


def life(api: Api, host: dict[str, Any], took: dict[str, list[float]]) -> None:
    """Create, wait, start, remove; note how long each took."""

    def note(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        took.setdefault(name, []).append(now - last)
        last = now

    first = last = time.perf_counter()
    body = {"Image": IMAGE, "Cmd": ["/bin/true"], "HostConfig": host}
    identifier = api.post("/containers/create", None, body)["Id"]
    note("create")
    waiting = api.call("POST", f"/containers/{identifier}/wait", {"condition": "next-exit"})
    note("wait, its headers")
    api.post(f"/containers/{identifier}/start")
    note("start")
    waiting.json()
    note("wait, its answer")
    api.delete(f"/containers/{identifier}")
    note("delete")
    took.setdefault("all of it", []).append(time.perf_counter() - first)


@contextlib.contextmanager
def metered(engine: Engine) -> Iterator[dict[str, Meter]]:
    """Yield the meters of the daemon, of spawner and shims, and of containers."""
    place = Path(detect().v1["cpuacct"])
    names = {
        "daemon": f"{engine.roots.tag}-daemon",
        "spawner and shims": f"{engine.roots.tag}-shims",
    }
    meters = {name: Meter(place / directory) for name, directory in names.items()}
    children = Path(f"/proc/{engine.process.pid}/task/{engine.process.pid}/children")
    meters["daemon"].take(engine.process.pid)
    for pid in children.read_text().split():
        meters["spawner and shims"].take(int(pid))
    meters["containers"] = Meter(place / engine.roots.tag)
    try:
        yield meters
    finally:
        root = place / "cgroup.procs"
        for directory in names.values():
            for pid in (place / directory / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    root.write_text(pid)
            with contextlib.suppress(OSError):
                os.rmdir(place / directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=60)
    parser.add_argument("--network", action="store_true", help="with network, DNS, a port")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="tiffin-bench-"))
    engine = Engine(base)
    try:
        import_image(engine.api)
        host: dict[str, Any] = {"NetworkMode": "none"}
        if arguments.network:
            engine.api.post("/networks/create", None, {"Name": "bench-net"})
            host = {"NetworkMode": "bench-net", "PortBindings": {"80/tcp": [{}]}}
        try:
            measure(engine, host, arguments.n, base / "tree")
        except BaseException:
            print((base / "log").read_text(), file=sys.stderr)
            raise
    finally:
        with contextlib.suppress(Exception):
            engine.stop()
        engine.process.kill()
        shutil.rmtree(base, ignore_errors=True)


def measure(engine: Engine, host: dict[str, Any], rounds: int, tree: Path) -> None:
    """Print wall and processor time of `rounds` lives, and of as many floors in turn."""
    bare.make_tree(tree)
    took: dict[str, list[float]] = {}
    for _ in range(5):
        life(engine.api, host, {})
    with metered(engine) as meters:
        before = {name: meter.seconds() for name, meter in meters.items()}
        floor_cpu = 0.0
        for _ in range(rounds):
            life(engine.api, host, took)
            used = bare.cpu_seconds()
            took.setdefault("floor", []).append(bare.floor(tree))
            floor_cpu += bare.cpu_seconds() - used
        after = {name: meter.seconds() for name, meter in meters.items()}
    print("wall time, ms                 best  median")
    for name, times in took.items():
        print(f"  {name:24} {min(times) * 1e3:8.2f} {statistics.median(times) * 1e3:7.2f}")
    print("processor time, ms of one")
    for name in meters:
        print(f"  {name:24} {(after[name] - before[name]) / rounds * 1e3:8.2f}")
    total = sum(after[name] - before[name] for name in meters)
    print(f"  {'all of it':24} {total / rounds * 1e3:8.2f}   {total / floor_cpu:.2f} × floor")
    print(f"  {'floor':24} {floor_cpu / rounds * 1e3:8.2f}")


if __name__ == "__main__":
    main()
