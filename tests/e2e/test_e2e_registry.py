"""`tiffin registry serve` with other people's clients and registries, and when things go wrong."""

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon
from tests.e2e.e2e_registry import Registry, docker_registry, registry, skopeo

from tiffin.testing.sample_images import SampleImage, archive, docker_members, layer_tar

pytestmark = pytest.mark.e2e

MEBIBYTE = 1 << 20
NOT_TLS = "--tls-verify=false"


@pytest.fixture
def sample(tmp_path: Path) -> str:
    """An image for skopeo."""
    image = SampleImage((layer_tar({"a": b"x" * 1000}), layer_tar({"b": os.urandom(MEBIBYTE)})))
    (tmp_path / "image.tar").write_bytes(archive(docker_members(image, ["sample:1"])))
    return f"docker-archive:{tmp_path}/image.tar"


def copy(source: str, target: str, *options: str) -> None:
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", *options, source, target)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_skopeo_and_dockers_registry(tmp_path: Path, sample: str) -> None:
    """Copies between us, the peer and a directory stay the same bytes; the peer is cached."""
    with registry(tmp_path / "ours") as ours, docker_registry(tmp_path / "theirs") as theirs:
        copy(sample, f"docker://{ours.host}/team/app:v1")
        copy(f"docker://{ours.host}/team/app:v1", f"docker://{theirs}/up/app:v1")
        copy(f"docker://{theirs}/up/app:v1", f"docker://{ours.host}/back/app:v1")
        for number, host in enumerate((f"{ours.host}/team", f"{theirs}/up", f"{ours.host}/back")):
            copy(f"docker://{host}/app:v1", f"dir:{tmp_path}/copy{number}")
        first = contents(tmp_path / "copy0")
        assert first == contents(tmp_path / "copy1") == contents(tmp_path / "copy2")
        assert len(first) == 5
        listed = skopeo("list-tags", NOT_TLS, f"docker://{ours.host}/team/app")
        assert json.loads(listed)["Tags"] == ["v1"]
        shown = json.loads(skopeo("inspect", NOT_TLS, f"docker://{ours.host}/team/app:v1"))
        assert len(shown["Layers"]) == 2
        with registry(
            tmp_path / "cache", "--mirror", f"http://{theirs}", "--mirror-ttl", "1ms"
        ) as cache:
            for attempt in range(2):
                copy(f"docker://{cache.host}/up/app:v1", f"dir:{tmp_path}/cached{attempt}")
                assert contents(tmp_path / f"cached{attempt}") == first
        skopeo("delete", NOT_TLS, f"docker://{ours.host}/team/app:v1")
        missing = skopeo("inspect", NOT_TLS, f"docker://{ours.host}/team/app:v1", check=False)
        assert "manifest unknown" in missing
    # The peer is gone: what was cached is still served.
    with registry(
        tmp_path / "cache", "--mirror", f"http://{theirs}", "--mirror-ttl", "1ms"
    ) as cache:
        copy(f"docker://{cache.host}/up/app:v1", f"dir:{tmp_path}/stale")
        assert contents(tmp_path / "stale") == first


def test_dockers_client(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    users = tmp_path / "users"
    daemon.tiffin("registry", "user", "--password-stdin", str(users), "ann", input="secret\n")
    with registry(tmp_path / "root", "--htpasswd", str(users), "--anonymous-pull") as served:
        name = f"{served.host}/team/bb:v1"
        daemon.docker("tag", busybox, name)
        refused = daemon.docker("push", name, check=False)
        assert refused.returncode == 1
        wrong = daemon.docker("login", "-u", "ann", "--password-stdin", served.host, input="no",
                              check=False)  # fmt: skip
        assert "incorrect username or password" in wrong.stderr
        login = ("login", "-u", "ann", "--password-stdin", served.host)
        assert "Login Succeeded" in daemon.docker(*login, input="secret").stdout
        assert "digest: sha256:" in daemon.docker("push", name).stdout
        again = daemon.docker("push", name)
        assert "Layer already exists" in again.stdout
        shown = json.loads(daemon.docker("manifest", "inspect", "--insecure", name).stdout)
        assert len(shown["layers"]) == 1
        daemon.docker("logout", served.host)
        daemon.docker("rmi", name, busybox)
        assert "Downloaded newer image" in daemon.docker("pull", name).stdout
        assert daemon.docker("run", "--rm", name, "echo", "ok").stdout == "ok\n"
        daemon.docker("tag", name, busybox)
        assert "bcrypt" not in served.log


def test_killed_while_uploads_come(tmp_path: Path) -> None:
    """Whatever was acknowledged is there after a kill -9; nothing else is, not even in part."""
    dice = random.Random(1)
    served = Registry(tmp_path / "root")
    acknowledged: dict[str, str] = {}
    stopping = threading.Event()

    def push(name: str) -> None:
        source = random.Random(name)
        while not stopping.is_set():
            data = source.randbytes(source.randrange(1, 2 * MEBIBYTE))
            try:
                acknowledged[served.push_blob(name, data)] = name
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)  # killed meanwhile

    served.start()
    pushers = [threading.Thread(target=push, args=(f"repo{n}",)) for n in range(4)]
    for thread in pushers:
        thread.start()
    try:
        for _ in range(4):
            time.sleep(dice.uniform(0.1, 0.4))
            served.stop(signal.SIGKILL)
            served.start()
    finally:
        stopping.set()
        for thread in pushers:
            thread.join()
    served.stop(signal.SIGKILL)
    served.start()
    assert len(acknowledged) >= 4
    for digest, name in acknowledged.items():
        status, _, body = served.request("GET", f"/v2/{name}/blobs/{digest}")
        assert (status, "sha256:" + hashlib.sha256(body).hexdigest()) == (200, digest)
    for path in (tmp_path / "root" / "data" / "blobs" / "sha256").rglob("*"):
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert not os.listdir(tmp_path / "root" / "tmp")
    assert served.stop() == 0
    done = subprocess.run(
        [sys.executable, "-m", "tiffin.cli.main", "registry", "gc", "--root",
         str(tmp_path / "root"), "--grace", "0s"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Total reclaimed space" in done.stdout
    left = [p for p in (tmp_path / "root" / "data" / "blobs").rglob("*") if p.is_file()]
    assert left == []


def test_a_full_disk(tmp_path: Path) -> None:
    root = tmp_path / "small"
    root.mkdir()
    size = f"size={8 * MEBIBYTE}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "small", str(root)], check=True)
    try:
        with registry(root) as served:
            digest = served.push_blob("a", os.urandom(2 * MEBIBYTE))
            large = os.urandom(20 * MEBIBYTE)
            for _ in range(3):
                path = "/v2/a/blobs/uploads/?digest=sha256:" + hashlib.sha256(large).hexdigest()
                status, _, body = served.request("POST", path, large)
                assert status == 507
                assert "no space left" in json.loads(body)["errors"][0]["message"]
                assert os.listdir(root / "uploads") == []
            served.push_blob("a", os.urandom(2 * MEBIBYTE))
            assert served.request("GET", f"/v2/a/blobs/{digest}")[0] == 200
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def test_memory_and_many_clients(tmp_path: Path) -> None:
    data = os.urandom(MEBIBYTE)
    with registry(tmp_path / "root", "--log-format", "none") as served:
        small = served.push_blob("a", data)
        before = served.memory_kib("VmHWM")
        size = 300
        whole = hashlib.sha256()
        for _ in range(size):
            whole.update(data)
        _, headers, _ = served.request("POST", "/v2/a/blobs/uploads/")
        status, _, _ = served.request(
            "PUT", f"{headers['location']}?digest=sha256:{whole.hexdigest()}",
            (data for _ in range(size)), Content_Length=str(size * MEBIBYTE),
        )  # fmt: skip
        assert status == 201
        assert served.memory_kib("VmHWM") - before < 32 << 10

        def download(number: int) -> int:
            return len(served.request("GET", f"/v2/a/blobs/{small}")[2])

        with ThreadPoolExecutor(200) as clients:
            assert set(clients.map(download, range(400))) == {MEBIBYTE}


def test_requests_under_way_are_finished(tmp_path: Path) -> None:
    data = os.urandom(32 * MEBIBYTE)
    with registry(tmp_path / "root") as served:
        digest = served.push_blob("a", data)
        host, _, port = served.host.partition(":")
        with socket.create_connection((host, int(port))) as connection:
            request = f"GET /v2/a/blobs/{digest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            received = bytearray(connection.recv(1000))
            assert served.process is not None
            served.process.terminate()
            deadline = time.monotonic() + 10
            while "stopping" not in served.log:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            while chunk := connection.recv(MEBIBYTE):
                received += chunk
        assert received.partition(b"\r\n\r\n")[2] == data
        assert served.process.wait(10) == 0
        served.process = None
