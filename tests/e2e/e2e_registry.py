"""Registries for end-to-end tests: ours as a process, and Debian's docker-registry as a peer."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE_S = 20.0


class Registry:
    """One `tiffin registry serve` on a free port; it keeps its port when it starts again."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        self.options = options
        self.host = "127.0.0.1:0"
        self.log_path = root.with_name(root.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it serves."""
        command = [sys.executable, "-m", "tiffin.cli.main", "registry", "serve",
                   "--listen", self.host, "--root", str(self.root), *self.options]  # fmt: skip
        begun = self.log_path.stat().st_size if self.log_path.exists() else 0
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.search(r" at https?://(\S+)", self.log[begun:])):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        self.host = found[1]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        self.process = None
        return status

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text(errors="replace")

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Make one request; return status, headers (by lower-case name) and body."""
        host, _, port = self.host.partition(":")
        with contextlib.closing(http.client.HTTPConnection(host, int(port), 60)) as connection:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, sent)  # type: ignore[arg-type]
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()

    def push_blob(self, name: str, data: bytes) -> str:
        """Push a blob in one request; return its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        status, _, body = self.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert status == 201, (status, body)
        return digest

    def json(self, path: str) -> Any:  # noqa: ANN401  # whatever it is
        """Return what a GET answers."""
        status, _, body = self.request("GET", path)
        assert status == 200, (status, body)
        return json.loads(body)

    def memory_kib(self, field: str) -> int:
        """Return a figure of /proc/PID/status, e.g. VmRSS."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition(f"{field}:")[2].split()[0])


@contextlib.contextmanager
def registry(root: Path, *options: str) -> Iterator[Registry]:
    """Run a registry; at the end it must stop cleanly, and nothing may have been its fault."""
    started = Registry(root, *options)
    started.start()
    try:
        yield started
        assert started.process is None or started.stop() == 0, started.log
        assert "Traceback" not in started.log, started.log
    finally:
        if started.process is not None:
            started.stop(signal.SIGKILL)


@contextlib.contextmanager
def docker_registry(root: Path, users: Path | None = None) -> Iterator[str]:
    """Run Debian's docker-registry, with an htpasswd file of `users`; yield its `host:port`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root.mkdir()
    configuration = root / "config.yml"
    configuration.write_text(
        f"version: 0.1\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: '{root}/data'}}, delete: {{enabled: true}}}}\n"
        + (f"auth: {{htpasswd: {{realm: test, path: '{users}'}}}}\n" if users else "")
    )
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(configuration)], stdout=log, stderr=log
        )
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def wait_for(url: str) -> None:
    """Wait until something listens."""
    parts = urlsplit(url)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 80), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, url
            time.sleep(0.02)


def skopeo(*arguments: str, check: bool = True) -> str:
    """Run skopeo without a policy of signatures; return what it printed."""
    environment = {**os.environ, "REGISTRY_AUTH_FILE": "/nonexistent/auth.json"}
    done = subprocess.run(
        ["skopeo", "--insecure-policy", *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert not check or done.returncode == 0, (arguments, done.stderr)
    return done.stdout if check else done.stderr
