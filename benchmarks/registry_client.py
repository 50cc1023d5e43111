"""Pull, push and load against what sha256sum, gunzip and tar take for the same bytes, all in one run.

    sudo .venv/bin/python benchmarks/registry_client.py [--size MB] [--rounds N] [--large MB]

A registry of ours (`tiffin registry serve`) and a daemon of its own run on this machine; the image
has five layers. Reference: per layer `sha256sum` of the blob, then `gunzip | tar -x`, two layers at a
time, which is what two processors can do. Budgets: pull and load at least 0.8 of that, a push of what
is there at most 50 ms, and the daemon's peak memory grows by at most 64 MB in a pull of 2 GB.
"""

import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LAYERS = 5
MEGABYTE = 10**6


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Machine:
    """The daemon's API, and the process behind it."""

    def __init__(self, path: Path, pid: int) -> None:
        self._path = path
        self.pid = pid

    def call(self, method: str, path: str, body: Any = None) -> list[dict[str, Any]]:  # noqa: ANN401
        connection = UnixConnection(self._path)
        connection.request(method, path, body, {"X-Registry-Auth": "e30="})
        response = connection.getresponse()
        text = response.read().decode()
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        if response.status >= 400 or any("error" in line for line in lines if line):
            raise SystemExit(f"{method} {path}: {response.status} {text[-500:]}")
        connection.close()
        return lines

    def timed(self, method: str, path: str, body: Any = None) -> float:  # noqa: ANN401
        started = time.perf_counter()
        self.call(method, path, body)
        return time.perf_counter() - started

    def forget(self, name: str) -> None:
        self.call("DELETE", f"/images/{name}?force=1")
        self.call("DELETE", "/trash")

    def peak_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024

    def reset_peak(self) -> float:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.peak_mb()


def make_layer(number: int, size: int) -> bytes:
    """Return a tar of files small and large, half of whose bytes compress well."""
    dice = random.Random(number)
    words = [dice.randbytes(6).hex().encode() for _ in range(4000)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        written = 0
        while written < size:
            length = min(int(dice.lognormvariate(10, 1.6)), 8 * MEGABYTE, size - written) or 1
            text = b" ".join(dice.choices(words, k=length // 26 + 1))[: length // 2]
            data = text + dice.randbytes(length - len(text))
            info = tarfile.TarInfo(f"usr/{number}/{written % 97}/{written}")
            info.size, info.mtime = len(data), 1_700_000_000
            archive.addfile(info, io.BytesIO(data))
            written += length
    return out.getvalue()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def publish(host: str, repository: str, layers: list[bytes], plain: list[str]) -> None:
    """Push an image in a few requests."""
    connection = http.client.HTTPConnection(host)

    def put(path: str, data: bytes, kind: str) -> None:
        connection.request("PUT", path, data, {"Content-Type": kind})
        response = connection.getresponse()
        assert response.read() is not None
        assert response.status == 201, response.status

    def blob(data: bytes) -> dict[str, Any]:
        connection.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        response = connection.getresponse()
        response.read()
        location = response.headers["Location"]
        mark = "&" if "?" in location else "?"
        put(f"{location}{mark}digest={digest_of(data)}", data, "application/octet-stream")
        return {"digest": digest_of(data), "size": len(data)}

    config = {"architecture": "amd64" if os.uname().machine == "x86_64" else "arm64", "os": "linux",
              "config": {}, "rootfs": {"type": "layers", "diff_ids": plain}}  # fmt: skip
    base = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2, "mediaType": f"{base}.manifest.v1+json",
        "config": {"mediaType": f"{base}.config.v1+json", **blob(json.dumps(config).encode())},
        "layers": [{"mediaType": f"{base}.layer.v1.tar+gzip", **blob(data)} for data in layers],
    }  # fmt: skip
    put(f"/v2/{repository}/manifests/latest", json.dumps(manifest).encode(), manifest["mediaType"])


def reference(blobs: list[Path], scratch: Path) -> float:
    """Return the seconds of the usual tools for the same work."""

    def unpack(blob: Path) -> None:
        target = scratch / f"{blob.name}.d"
        target.mkdir()
        command = f"sha256sum {blob} && gunzip -c {blob} | tar -x -C {target}"
        subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)

    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(unpack, blobs))
    elapsed = time.perf_counter() - started
    for blob in blobs:
        shutil.rmtree(scratch / f"{blob.name}.d")
    return elapsed


@contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as sink:
        running = subprocess.Popen(command, stdout=sink, stderr=sink)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def wait_for(pattern: str, log: Path) -> str:
    for _ in range(1000):
        if found := re.search(pattern, log.read_text()):
            return found[1]
        time.sleep(0.02)
    raise SystemExit(log.read_text())


@contextmanager
def machine(scratch: Path) -> Iterator[tuple[str, Machine]]:
    """Run a registry and a daemon; yield the registry's host and the daemon."""
    serve = [sys.executable, "-m", "tiffin.cli.main", "registry", "serve", "--root",
             f"{scratch}/registry", "--listen", "127.0.0.1:0", "--log-format", "none"]  # fmt: skip
    (scratch / "daemon.json").write_text("{}")
    daemon = [sys.executable, "-m", "tiffin.daemon.main", "--data-root", f"{scratch}/data",
              "--exec-root", f"{scratch}/run", "--host", f"unix://{scratch}/sock", "--bridge",
              "none", "--config-file", f"{scratch}/daemon.json"]  # fmt: skip
    with (
        process(serve, scratch / "registry.log"),
        process(daemon, scratch / "daemon.log") as running,
    ):
        host = wait_for(r" at http://(\S+)", scratch / "registry.log")
        for _ in range(1000):
            if (scratch / "sock").exists():
                break
            time.sleep(0.02)
        yield host, Machine(scratch / "sock", running.pid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=300, help="MB of the image, unpacked")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--large", type=int, default=2000, help="MB of the image for memory; 0: none"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        scratch = Path(name)
        with machine(scratch) as (host, daemon):
            speed(options, scratch, host, daemon)
            if options.large:
                memory(options, host, daemon)


def speed(options: argparse.Namespace, scratch: Path, host: str, daemon: Machine) -> None:
    tars = [make_layer(n, options.size * MEGABYTE // LAYERS) for n in range(LAYERS)]
    blobs = [gzip.compress(data, 6, mtime=0) for data in tars]
    plain = [digest_of(data) for data in tars]
    del tars
    publish(host, "bench/app", blobs, plain)
    paths = []
    for number, data in enumerate(blobs):
        paths.append(scratch / f"blob{number}")
        paths[-1].write_bytes(data)
    size = sum(map(len, blobs)) / 1e6
    del blobs
    name = f"{host}/bench/app"
    times: dict[str, list[float]] = {"tools": [], "pull": [], "load": []}
    archive = b""
    for _ in range(options.rounds):
        times["tools"].append(reference(paths, scratch))
        times["pull"].append(daemon.timed("POST", f"/images/create?fromImage={name}&tag=latest"))
        if not archive:
            archive = save(scratch, f"{name}:latest")
        daemon.forget(name)
        times["load"].append(daemon.timed("POST", "/images/load?quiet=1", archive))
        if len(times["load"]) < options.rounds:
            daemon.forget(name)
    best = {what: min(found) for what, found in times.items()}
    print(
        f"{options.size} MB in {LAYERS} layers, {size:.0f} MB compressed, best of {options.rounds}:"
    )
    print(f"  sha256sum, gunzip, tar   {best['tools']:.2f} s")
    for what in ("pull", "load"):
        print(f"  {what:24} {best[what]:.2f} s, {best['tools'] / best[what]:.2f} of it (≥ 0.8)")
    pushes = [daemon.timed("POST", f"/images/{name}/push?tag=latest") for _ in range(20)]
    pulls = [daemon.timed("POST", f"/images/create?fromImage={name}&tag=latest") for _ in range(20)]
    print(f"  push of what is there    {statistics.median(pushes) * 1e3:.0f} ms (≤ 50)")
    print(f"  pull of what is here     {statistics.median(pulls) * 1e3:.0f} ms")


def save(scratch: Path, name: str) -> bytes:
    """Return the image as an archive."""
    connection = UnixConnection(scratch / "sock")
    connection.request("GET", f"/images/{name}/get")
    return connection.getresponse().read()


def memory(options: argparse.Namespace, host: str, daemon: Machine) -> None:
    layer = random.Random(0).randbytes(MEGABYTE)
    blobs, plain = [], []
    for number in range(LAYERS):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for file in range(options.large // LAYERS // 50):
                info = tarfile.TarInfo(f"{number}/{file}")
                info.size = 50 * MEGABYTE
                data = bytes([number, file]) + layer * 50
                archive.addfile(info, io.BytesIO(data))
        plain.append(digest_of(out.getvalue()))
        blobs.append(gzip.compress(out.getvalue(), 0, mtime=0))
    publish(host, "bench/large", blobs, plain)
    size = sum(map(len, blobs)) / 1e6
    del blobs, out, data
    before = daemon.reset_peak()
    seconds = daemon.timed("POST", f"/images/create?fromImage={host}/bench/large&tag=latest")
    grown = daemon.peak_mb() - before
    print(f"pull of {size:.0f} MB: {seconds:.1f} s, {size / seconds:.0f} MB/s; "
          f"the daemon's peak memory grew by {grown:.0f} MB from {before:.0f} (≤ 64)")  # fmt: skip


if __name__ == "__main__":
    main()
