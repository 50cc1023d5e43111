"""What a daemon has on disk and in the kernel, compared with what its API admits to."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.e2e_daemon import Daemon

from tiffin.images.store import is_download
from tiffin.spec.ids import is_id
from tiffin.testing.fake_registry import FakeRegistry
from tiffin.testing.sample_images import SampleImage


def orphans(daemon: Daemon) -> list[str]:
    """Name everything that belongs to no container, image or build that the API lists."""
    known = set(daemon.docker("ps", "-aq", "--no-trunc").stdout.split())
    running = set(daemon.docker("ps", "-q", "--no-trunc").stdout.split())
    return [
        *_snapshots(daemon, known),
        *_others("container directory", daemon.roots.data / "containers", known),
        *_others("task", daemon.roots.tasks, known),
        *_ingests(daemon),
        *_entries("build context", daemon.roots.build_cache / "running"),
        *_cgroups(daemon, running),
        *_links(daemon, running),
        *(each for each in daemon._left_mounts() if each.split()[1] != str(daemon.roots.data)),
    ]


def _snapshots(daemon: Daemon, known: set[str]) -> list[str]:
    path = daemon.roots.snapshots / "catalogue.db"
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name, kind, directory FROM snapshots").fetchall()
    connection.close()
    active = [f"snapshot {name}" for name, kind, _ in rows if kind != "committed"]
    listed = {directory for _, _, directory in rows}
    strays = {entry.name for entry in daemon.roots.snapshots.iterdir() if entry.is_dir()} - listed
    return [
        *(name for name in active if name.split()[1][:64] not in known),
        *(f"directory snapshots/{name}" for name in strays),
    ]


def _others(what: str, directory: Path, known: set[str]) -> list[str]:
    return [each for each in _entries(what, directory) if each.rpartition(" ")[2] not in known]


def _entries(what: str, directory: Path) -> list[str]:
    return [f"{what} {name}" for name in os.listdir(directory)] if directory.is_dir() else []


def _ingests(daemon: Daemon) -> list[str]:
    """Unfinished blobs, but for downloads, which a later pull goes on with."""
    root = daemon.roots.content / "ingest"
    found = [entry for entry in root.iterdir() if (entry / "ref").exists()] if root.exists() else []
    refs = [(entry / "ref").read_text() for entry in found]
    return [f"ingest {ref}" for ref in refs if not is_download(ref)]


def _cgroups(daemon: Daemon, running: set[str]) -> list[str]:
    return [
        f"cgroup {path}"
        for root in daemon._cgroup_roots()
        for path in root.iterdir()
        if path.is_dir() and is_id(path.name) and path.name not in running
    ]


def _links(daemon: Daemon, running: set[str]) -> list[str]:
    """Pairs of interfaces beyond one for each network of each running container."""
    wanted = 0
    for identifier in running:
        _, found = daemon.api("GET", f"/containers/{identifier}/json")
        networks = found["NetworkSettings"]["Networks"]
        wanted += sum(1 for item in networks.values() if item["IPAddress"])
    veths = [
        link
        for link in Path("/sys/class/net").iterdir()
        if link.name.startswith(daemon.tag) and not (link / "bridge").is_dir()
    ]
    return [] if len(veths) <= wanted else [f"{len(veths)} interfaces, not {wanted}: {veths}"]


@contextmanager
def registry_of(image: SampleImage, name: str, tag: str) -> Iterator[str]:
    """Serve an image by a registry in a thread; yield its `host:port`."""
    with fake_registry() as served:
        image.publish(served, name, tag)
        yield served.host


@contextmanager
def fake_registry() -> Iterator[FakeRegistry]:
    """Run a registry in a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = FakeRegistry()
    asyncio.run_coroutine_threadsafe(served.__aenter__(), loop).result()
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(served.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
