"""kill -9 of the daemon at random moments: the next one cleans up, and works."""

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

ROUNDS = 12


def test_killed_at_any_moment(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = make_daemon()
    image = daemon.import_busybox()
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image}\nRUN echo a > /a\nRUN sleep 0.2; echo b > /b\n"
    )
    dice = random.Random(7)  # a repeatable choice of moments
    actions = [
        ["run", "--rm", "-p", "80", image, "true"],
        ["run", "-d", "-v", "vol:/v", "--tmpfs", "/t", image, "sleep", "1000"],
        ["build", "--no-cache", "-t", "b:1", str(tmp_path)],
        ["rm", "-f", "-v", "$(ps)"],
    ]
    for turn in range(ROUNDS):
        action = actions[turn % len(actions)]
        if action[-1] == "$(ps)":
            running = daemon.docker("ps", "-aq").stdout.split()
            action = [*action[:-1], *running] if running else actions[0]
        client = daemon.spawn(*action, stdin=subprocess.DEVNULL)
        time.sleep(dice.random() * 0.4)
        daemon.kill9()
        client.kill()
        client.communicate()
        daemon.start()
        assert daemon.docker("run", "--rm", image, "echo", "ok").stdout == "ok\n"
    left = daemon.docker("ps", "-aq").stdout.split()
    if left:
        daemon.docker("rm", "-f", "-v", *left)
