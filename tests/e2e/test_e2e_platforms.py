"""Images for several platforms with the real client, and archives that other programs exchange."""

import json
import tarfile
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon, busybox_tar
from tests.e2e.e2e_registry import registry, skopeo

from tiffin.spec.descriptor import OCI_INDEX, Descriptor
from tiffin.spec.digest import digest_bytes, hex_of
from tiffin.spec.image import Index
from tiffin.spec.platform import Platform, host_platform
from tiffin.testing.sample_images import SampleImage, archive, layer_tar, layout_members

pytestmark = pytest.mark.e2e

HOST = SampleImage((busybox_tar(), layer_tar({"platform": b"host"})))
FOREIGN = SampleImage(
    (busybox_tar(), layer_tar({"platform": b"s390x"})), platform=Platform("linux", "s390x")
)
OTHER = "linux/s390x"
NAME = "multi:1"
INDEX = Index((HOST.descriptor, FOREIGN.descriptor)).encode()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with an image for two platforms, both of which run here in truth."""
    members = layout_members([HOST, FOREIGN])
    members[f"blobs/sha256/{hex_of(digest_bytes(INDEX))}"] = INDEX
    entry = Descriptor(
        OCI_INDEX, digest_bytes(INDEX), len(INDEX),
        annotations={"io.containerd.image.name": f"docker.io/library/{NAME}"},
    )  # fmt: skip
    members["index.json"] = Index((entry,)).encode()
    path = tmp_path_factory.mktemp("archives") / "both.tar"
    path.write_bytes(archive(members))
    return path


def test_the_client_sees_all_platforms(daemon: Daemon, both: Path) -> None:
    daemon.docker("load", "-i", str(both))
    tree = daemon.docker("images", "--tree").stdout
    assert NAME in tree
    assert OTHER in tree
    assert str(host_platform()) in tree
    assert OTHER in daemon.tiffin("images", "--tree").stdout
    assert len(daemon.docker("images", "-aq").stdout.split()) == 1
    show = ["image", "inspect", "-f", "{{.Architecture}}"]
    assert daemon.docker(*show, NAME).stdout.strip() == HOST.platform.architecture
    assert daemon.docker(*show, "--platform", OTHER, NAME).stdout == "s390x\n"
    assert daemon.tiffin(*show, "--platform", OTHER, NAME).stdout == "s390x\n"
    assert len(daemon.docker("history", "-q", "--platform", OTHER, NAME).stdout.split()) == 3
    cat = ["run", "--rm", "--pull", "never"]
    assert daemon.docker(*cat, NAME, "cat", "/platform").stdout == "host"
    assert daemon.docker(*cat, "--platform", OTHER, NAME, "cat", "/platform").stdout == "s390x"
    done = daemon.docker(*cat, "--platform", "linux/riscv64", NAME, "true", check=False)
    assert "does not match the specified platform" in done.stderr
    assert len(daemon.docker("images", "-aq").stdout.split()) == 1
    _, (row,) = daemon.api("GET", "/v1.50/images/json?manifests=1")
    assert row["Descriptor"]["digest"] == digest_bytes(INDEX)
    assert [each["Kind"] for each in row["Manifests"]] == ["image", "image"]
    assert all(each["Available"] for each in row["Manifests"])
    _, (row,) = daemon.api("GET", "/v1.46/images/json?manifests=1")
    assert "Manifests" not in row
    assert "Descriptor" not in row
    daemon.docker("rmi", "--force", "--platform", OTHER, NAME)
    assert daemon.docker(*cat, NAME, "cat", "/platform").stdout == "host"
    daemon.docker("load", "--platform", OTHER, "-i", str(both))
    assert daemon.docker(*cat, "--platform", OTHER, NAME, "cat", "/platform").stdout == "s390x"
    daemon.docker("rmi", NAME)
    assert daemon.docker("images", "-aq").stdout == ""


def test_archives_are_stable_and_whole(daemon: Daemon, both: Path, tmp_path: Path) -> None:
    daemon.docker("load", "-i", str(both))
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    daemon.docker("save", "-o", str(first), NAME)
    daemon.docker("rmi", NAME)
    daemon.docker("load", "-i", str(first))
    daemon.docker("save", "-o", str(second), NAME)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        assert all(member.mtime == 0 for member in tar)
        names = set(tar.getnames())
    for image in (HOST, FOREIGN):
        assert f"blobs/sha256/{hex_of(image.descriptor.digest)}" in names
    one = tmp_path / "one.tar"
    daemon.docker("save", "--platform", OTHER, "-o", str(one), NAME)
    shown = json.loads(skopeo("inspect", "--override-arch", "s390x", f"oci-archive:{one}"))
    assert shown["Architecture"] == "s390x"
    daemon.docker("rmi", NAME)


@pytest.mark.parametrize("form", ["oci-archive", "docker-archive"])
def test_archives_of_other_programs(daemon: Daemon, both: Path, tmp_path: Path, form: str) -> None:
    """Ours are read by skopeo, and its own by us, and nothing is lost on the way."""
    daemon.docker("load", "-i", str(both))
    ours, theirs = tmp_path / "ours.tar", tmp_path / "theirs.tar"
    daemon.docker("save", "-o", str(ours), NAME)
    daemon.docker("rmi", NAME)
    everything = ["--all"] if form == "oci-archive" else []
    source = f"{form}:{ours}:{'1' if form == 'oci-archive' else NAME}"
    skopeo("copy", *everything, source, f"{form}:{theirs}:docker.io/library/copied:2")
    daemon.docker("load", "-i", str(theirs))
    run = ["run", "--rm", "--pull", "never"]
    assert daemon.docker(*run, "copied:2", "cat", "/platform").stdout == "host"
    if form == "oci-archive":
        other = [*run, "--platform", OTHER, "copied:2", "cat", "/platform"]
        assert daemon.docker(*other).stdout == "s390x"
        _, found = daemon.api("GET", "/v1.50/images/copied:2/json")
        assert found["Descriptor"]["digest"] == digest_bytes(INDEX)
    daemon.docker("rmi", "copied:2")
    assert daemon.docker("images", "-aq").stdout == ""


def test_pull_push_and_manifests(daemon: Daemon, both: Path, tmp_path: Path) -> None:
    """What is pushed is what came in, to the byte."""
    with registry(tmp_path / "registry") as served:
        there = f"{served.host}/team/multi:1"
        daemon.docker("load", "-i", str(both))
        daemon.docker("tag", NAME, there)
        daemon.docker("push", there)
        source = f"docker://{there}"
        assert skopeo("inspect", "--raw", "--tls-verify=false", source).encode() == INDEX
        shown = json.loads(daemon.docker("manifest", "inspect", "--insecure", there).stdout)
        assert [each["digest"] for each in shown["manifests"]] == [
            HOST.descriptor.digest, FOREIGN.descriptor.digest,
        ]  # fmt: skip
        daemon.docker("rmi", "-f", NAME, there)
        daemon.docker("pull", "--platform", OTHER, there)
        daemon.docker("pull", there)
        cat = ["run", "--rm", "--pull", "never"]
        assert daemon.docker(*cat, there, "cat", "/platform").stdout == "host"
        assert daemon.docker(*cat, "--platform", OTHER, there, "cat", "/platform").stdout == "s390x"
        daemon.docker("rmi", there)
        daemon.tiffin("pull", "--all-platforms", there)
        _, found = daemon.api("GET", f"/v1.50/images/{there}/json?manifests=1")
        assert [each["Available"] for each in found["Manifests"]] == [True, True]
        daemon.docker("push", "--platform", OTHER, there)
        pushed = skopeo("inspect", "--raw", "--tls-verify=false", source)
        assert pushed.encode() == FOREIGN.manifest
        daemon.docker("rmi", there)
