"""kill -9 while images come, go and change names: what was acknowledged holds, nothing is half."""

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon, busybox_tar
from tests.e2e.e2e_remains import orphans

from tiffin.spec.descriptor import OCI_INDEX, Descriptor
from tiffin.spec.digest import digest_bytes, hex_of
from tiffin.spec.image import Index
from tiffin.spec.platform import Platform
from tiffin.testing.sample_images import SampleImage, archive, layer_tar, layout_members

pytestmark = pytest.mark.e2e

ROUNDS = 8
LONGEST_DELAY_S = 0.2
OTHER = "linux/s390x"
NAME = "multi:1"


def both_platforms() -> bytes:
    shared = (busybox_tar(), *(layer_tar({f"f{n}": os.urandom(1 << 20)}) for n in range(3)))
    host = SampleImage((*shared, layer_tar({"platform": b"host"})))
    other = SampleImage(
        (*shared, layer_tar({"platform": b"s390x"})), platform=Platform("linux", "s390x")
    )
    index = Index((host.descriptor, other.descriptor)).encode()
    members = layout_members([host, other])
    members[f"blobs/sha256/{hex_of(digest_bytes(index))}"] = index
    name = {"io.containerd.image.name": f"docker.io/library/{NAME}"}
    entry = Descriptor(OCI_INDEX, digest_bytes(index), len(index), annotations=name)
    return archive({**members, "index.json": Index((entry,)).encode()})


def test_images_are_whole_at_any_moment(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = make_daemon()
    both, plain = tmp_path / "both.tar", tmp_path / "plain.tar"
    both.write_bytes(both_platforms())
    plain.write_bytes(busybox_tar())
    daemon.docker("load", "-i", str(both))
    dice = random.Random(3)  # a repeatable choice of moments
    cat = ["run", "--rm", "--pull", "never"]
    foreign = [*cat, "--platform", OTHER, NAME, "cat", "/platform"]
    for turn in range(ROUNDS):
        actions = [  # what is done, and what must be so once it was acknowledged
            (["load", "-i", str(both)], foreign),
            (["load", "--platform", OTHER, "-i", str(both)], foreign),
            (["rmi", "-f", NAME], None),
            (["rmi", "-f", "--platform", OTHER, NAME], None),
            (foreign, foreign),
            (["tag", NAME, f"tag:{turn}"], [*cat, f"tag:{turn}", "cat", "/platform"]),
            (["import", str(plain), f"plain:{turn}"], [*cat, f"plain:{turn}", "true"]),
            (["image", "prune", "-af"], None),
        ]  # fmt: skip
        action, proof = actions[dice.randrange(len(actions))]
        client = daemon.spawn(*action, stdin=subprocess.DEVNULL)
        time.sleep(dice.random() * LONGEST_DELAY_S)
        acknowledged = client.poll() == 0
        daemon.kill9()
        client.kill()
        client.communicate()
        daemon.start()
        where = f"{turn}: {' '.join(action)} ({acknowledged=})"
        if acknowledged and proof is not None:
            done = daemon.docker(*proof, check=False)
            assert done.returncode == 0, (where, done.stderr, daemon.log[-3000:])
        verified = daemon.tiffin("image", "verify", check=False)
        assert verified.returncode == 0, (where, verified.stdout, verified.stderr)
        assert orphans(daemon) == [], (where, daemon.log[-3000:])
        if daemon.docker("image", "inspect", NAME, check=False).returncode:
            assert "No such image" in daemon.docker(*foreign, check=False).stderr, where
            if dice.random() < 0.5:
                daemon.tiffin("undo", check=False)
            daemon.docker("load", "-i", str(both))
        assert daemon.docker(*cat, NAME, "cat", "/platform").stdout == "host", where
        assert "Traceback" not in daemon.log, where
    for container in daemon.docker("ps", "-aq").stdout.split():  # of a run that was cut short
        daemon.docker("rm", "-f", container)
    daemon.docker("image", "prune", "-af")
    daemon.api("DELETE", "/v1.50/trash")
    assert not list((daemon.roots.content / "blobs" / "sha256").iterdir())
    assert not [each for each in daemon.roots.snapshots.iterdir() if each.is_dir()]
