"""Pulling and pushing by a daemon that is killed, and the client's tools for registries."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon, Result
from tests.e2e.e2e_registry import Registry, docker_registry, registry
from tests.e2e.e2e_remains import fake_registry, orphans

from tiffin.spec.digest import digest_bytes
from tiffin.spec.image import parse_manifest
from tiffin.spec.platform import Platform
from tiffin.testing.sample_images import SampleImage, layer_tar

pytestmark = pytest.mark.e2e

BIG = SampleImage((layer_tar({"a": b"a"}), layer_tar({"big": random.Random(1).randbytes(6 << 20)})))
HELPER = """#!/bin/sh
kept={kept}
case $1 in
store) cat > $kept ;;
get) cat > /dev/null; cat $kept 2> /dev/null || {{ echo credentials not found; exit 1; }} ;;
erase) rm -f $kept ;;
esac
"""


def ingested(daemon: Daemon) -> int:
    """Return the bytes of downloads that are under way."""
    return sum(path.stat().st_size for path in daemon.roots.content.glob("ingest/*/data"))


def test_a_pull_that_was_killed_goes_on(make_daemon: Callable[..., Daemon]) -> None:
    """Only what had not arrived is fetched; nothing is left of the first attempt."""
    daemon = make_daemon()
    with fake_registry() as served:
        BIG.publish(served, "big", "1")
        digest = digest_bytes(BIG.stored[1])
        served.faults.stall_after[digest] = 4 << 20
        client = daemon.spawn("pull", f"{served.host}/big:1", stdin=subprocess.DEVNULL)
        daemon.wait_until(lambda: ingested(daemon) >= 3 << 20, "bytes have arrived")
        daemon.kill9()
        client.communicate()
        daemon.start()
        assert ingested(daemon) >= 3 << 20
        assert orphans(daemon) == []
        assert daemon.docker("images", "-q").stdout == ""
        daemon.docker("pull", f"{served.host}/big:1")
        assert served.ranges[digest][0] == 0
        assert served.ranges[digest][1] >= 3 << 20
        assert ingested(daemon) == 0
        assert "as it was" in daemon.tiffin("image", "verify", f"{served.host}/big:1").stdout


def test_killed_at_any_moment_of_a_push(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """What the registry serves is whole at any moment, and a second push completes the first."""
    daemon = make_daemon()
    image = daemon.import_busybox()
    dice = random.Random(3)
    with registry(tmp_path / "root") as served:
        for turn in range(3):
            name = f"{served.host}/team/app{turn}:1"
            daemon.docker("tag", image, name)
            client = daemon.spawn("push", name, stdin=subprocess.DEVNULL)
            time.sleep(dice.uniform(0, 0.4))
            daemon.kill9()
            client.communicate()
            acknowledged = client.returncode == 0
            status, _, data = served.request("GET", f"/v2/team/app{turn}/manifests/1")
            assert status == 200 or not acknowledged
            for blob in parse_manifest(data).layers if status == 200 else ():
                assert served.request("HEAD", f"/v2/team/app{turn}/blobs/{blob.digest}")[0] == 200
            daemon.start()
            assert orphans(daemon) == []
            daemon.docker("push", name)
            daemon.docker("rmi", name)
            daemon.docker("pull", name)
        served.stop(signal.SIGKILL)  # the other side, too
        client = daemon.spawn("push", name, stdin=subprocess.DEVNULL)
        served.start()
        client.communicate()
        daemon.docker("push", name)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Registry]:
    """A registry with an image for each of two platforms, `team/app:amd64` and `team/app:arm64`."""
    with registry(tmp_path / "root") as served:
        for architecture in ("amd64", "arm64"):
            layers = (layer_tar({architecture: b"x" * 1000}),)
            image = SampleImage(layers, platform=Platform("linux", architecture))
            for blob in (image.config, *image.stored):
                served.push_blob("team/app", blob)
            status, _, body = served.request(
                "PUT", f"/v2/team/app/manifests/{architecture}", image.manifest,
                Content_Type=parse_manifest(image.manifest).media_type,
            )  # fmt: skip
            assert status == 201, body
        yield served


def both(daemon: Daemon, *arguments: str) -> str:
    """Return what both clients print, which must be the same."""
    results: list[Result] = [
        run("manifest", *arguments, check=False) for run in (daemon.docker, daemon.tiffin)
    ]
    theirs, ours = results
    assert (ours.returncode, ours.stdout, ours.stderr) == (
        theirs.returncode, theirs.stdout, theirs.stderr,
    ), arguments  # fmt: skip
    return ours.stdout + ours.stderr


def test_manifest_tools(daemon: Daemon, two: Registry) -> None:
    """Both clients work on one list; what is pushed is a multi-platform image."""
    app, listed = f"{two.host}/team/app", f"{two.host}/other/list:v1"
    daemon.tiffin("manifest", "create", "--insecure", listed, f"{app}:amd64", f"{app}:arm64")
    store = Path(daemon.environment["DOCKER_CONFIG"]) / "manifests"
    files = {path.name: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert "refusing to amend" in both(daemon, "create", "--insecure", listed, f"{app}:amd64")
    again = ("manifest", "create", "--insecure", "--amend", listed, f"{app}:amd64")
    daemon.docker(*again)
    assert files == {path.name: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert "unsupported os/arch" in both(daemon, "annotate", "--arch", "x", listed, f"{app}:arm64")
    daemon.tiffin("manifest", "annotate", "--variant", "v8", "--os-features", "a,b", listed,
                  f"{app}:arm64")  # fmt: skip
    both(daemon, "inspect", listed)
    assert '"OCIManifest"' in both(daemon, "inspect", "-v", listed)
    both(daemon, "inspect", "--insecure", "-v", f"{app}:amd64")
    assert "no such manifest" in both(daemon, "inspect", "--insecure", f"{app}:none")
    pushed = both(daemon, "push", "--insecure", listed)
    assert pushed.count("Pushed ref") == 2
    assert "sha256:" in daemon.tiffin("manifest", "push", "-p", "--insecure", listed).stdout
    assert "No such manifest" in both(daemon, "rm", listed)
    assert "v8" in both(daemon, "inspect", "--insecure", "-v", listed)
    daemon.docker("pull", "--platform", "linux/arm64", listed)
    shown = json.loads(daemon.docker("image", "inspect", listed).stdout)
    assert shown[0]["Architecture"] == "arm64"


def test_credentials_of_both_clients(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    """What one client keeps, in its file or by a helper, the other finds and forgets."""
    users = tmp_path / "users"
    daemon.tiffin("registry", "user", "--password-stdin", str(users), "ann", input="secret\n")
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER.format(kept=tmp_path / "kept"))
    helper.chmod(0o755)
    daemon.environment["PATH"] = f"{tmp_path}:{daemon.environment['PATH']}"
    file = Path(daemon.environment["DOCKER_CONFIG"]) / "config.json"
    with docker_registry(tmp_path / "theirs", users) as host:
        name = f"{host}/app:1"
        daemon.docker("tag", busybox, name)
        login = ("login", "-u", "ann", "--password-stdin", host)
        ours, theirs = daemon.tiffin, daemon.docker
        for store, writer, reader in (
            ({}, ours, theirs), ({"credsStore": "test"}, theirs, ours),
            ({"credHelpers": {host: "test"}}, ours, theirs),
        ):  # fmt: skip
            file.write_text(json.dumps(store))
            assert "no basic auth credentials" in reader("push", name, check=False).stderr
            refused = writer(*login, input="wrong", check=False)
            assert "unauthorized" in refused.stderr
            kept = writer(*login, input="secret\n")
            assert kept.stdout == "Login Succeeded\n"
            assert ("stored unencrypted" in kept.stderr) == (not store)
            assert "secret" not in file.read_text()
            reader("push", name)
            assert "existing credentials... [Username: ann]" in reader("login", host).stderr
            assert reader("logout", host).stdout == f"Removing login credentials for {host}\n"
            assert "no basic auth credentials" in writer("push", name, check=False).stderr
            assert not (tmp_path / "kept").exists()


def test_pulled_through_mirrors_in_order(make_daemon: Callable[..., Daemon]) -> None:
    """Names of Docker Hub come from the default registry, which may have mirrors."""
    with fake_registry() as home, fake_registry() as mirror:
        BIG.publish(home, "library/big", "1")
        BIG.publish(mirror, "cache/library/big", "1")
        daemon = make_daemon()
        configuration = {
            "max-download-attempts": 2,
            "default-registry": f"http://{home.host}",
            "registries": {"docker.io": {"mirrors": [f"http://{mirror.host}/cache"]}},
        }
        daemon.stop()
        (daemon.base / "daemon.json").write_text(json.dumps(configuration))
        daemon.start()
        digest = digest_bytes(BIG.stored[1])
        daemon.docker("pull", "big:1")
        assert (mirror.counts[f"blob {digest}"], home.counts[f"blob {digest}"]) == (1, 0)
        daemon.docker("rmi", "big:1")
        daemon.api("DELETE", "/trash")
        mirror.faults.statuses = [500] * 99
        daemon.docker("pull", "big:1")
        assert home.counts[f"blob {digest}"] == 1
        daemon.docker("push", "big:1")  # to the registry alone
        assert not any(line.startswith("P") for line in mirror.log)
