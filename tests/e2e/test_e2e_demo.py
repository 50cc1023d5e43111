"""The first command of the README, on real input: a base image, a build, a page."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_the_demo_shows_a_page(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "PORT": str(port), "TIFFIN_DEMO_ROOT": str(tmp_path / "data"),
        "TIFFIN_DEMO_RUN": str(tmp_path / "run"), "PULL_TIMEOUT": "20",
    }  # fmt: skip
    try:
        done = subprocess.run(
            [str(ROOT / "scripts" / "demo")], env=environment, capture_output=True, text=True,
            timeout=800, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert "<h1>Hello from a container</h1>" in done.stdout
        assert re.search(r"process 1 of 1\b", done.stdout)
    finally:
        subprocess.run([str(ROOT / "scripts" / "demo"), "--clean"], env=environment, check=True)
    assert not (tmp_path / "data").exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
