"""The distributions' Compose clients, unmodified."""

import os
import shutil
import urllib.request
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

COMPOSE = """
version: "3.8"
services:
  web:
    build: ./web
    ports: ["127.0.0.1::80"]
    networks: [front]
    volumes: ["data:/data"]
    depends_on: [store]
  store:
    image: {image}
    command: ["sh", "-c", "while :; do echo kept | nc -l -p 9000; done"]
    networks: [front]
networks:
  front: {{}}
volumes:
  data: {{}}
"""
SCRIPT = """#!/bin/sh
touch /data/started
while :; do
  printf 'HTTP/1.0 200 OK\\r\\n\\r\\n%s' "$(nc store 9000 </dev/null)" | nc -l -p 80
done
"""


@pytest.mark.parametrize("client", ["docker-compose-1", "docker-compose-2"])
def test_a_project_comes_up_and_goes_away(
    daemon: Daemon, busybox: str, tmp_path: Path, client: str
) -> None:
    program = shutil.which(client) or str(Path(__file__).parent / ".clients" / "bin" / client)
    assert os.access(program, os.X_OK), f"{client} is needed: tests/e2e/clients fetches it"
    project = tmp_path / "shop"
    (project / "web").mkdir(parents=True)
    (project / "docker-compose.yml").write_text(COMPOSE.format(image=busybox))
    (project / "web" / "Dockerfile").write_text(
        f'FROM {busybox}\nCOPY serve /serve\nRUN chmod +x /serve\nCMD ["/serve"]\n'
    )
    (project / "web" / "serve").write_text(SCRIPT)
    daemon.environment["DOCKER_BUILDKIT"] = "0"
    base = [program, "--file", str(project / "docker-compose.yml"), "--project-name", "shop"]
    daemon.run(*base, "up", "--build", "--detach", timeout=180)
    assert "web" in daemon.run(*base, "ps").stdout
    address = daemon.run(*base, "port", "web", "80").stdout.strip()

    def page() -> str:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    daemon.wait_until(lambda: "kept" in page(), "the page comes", 30)
    assert "started" in daemon.run(*base, "exec", "-T", "web", "ls", "/data").stdout
    daemon.run(*base, "logs")
    daemon.run(
        *base,
        "down",
        "--rmi",
        "all",
        "--volumes",
        "--remove-orphans",
        "--timeout",
        "1",
        timeout=120,
    )
    assert daemon.docker("ps", "-aq").stdout == ""
    assert "shop" not in daemon.docker("network", "ls").stdout
    assert "shop" not in daemon.docker("volume", "ls").stdout
    assert "shop" not in daemon.docker("images").stdout
    daemon.import_busybox()
