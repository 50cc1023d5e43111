"""A real daemon for end-to-end tests: its own roots, tag and subnets, driven by real clients.

At the end everything that was made must be gone again: `Daemon.leaks` names what is not.
"""

import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tiffin.engine.roots import Roots

START_TIMEOUT_S = 20.0
Result = subprocess.CompletedProcess[str]


class UnixConnection(http.client.HTTPConnection):
    """Plain HTTP over the daemon's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self._path)


class Daemon:
    """One `tiffind` with roots of its own below a temporary directory."""

    def __init__(self, *options: str) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="tf-e2e-"))
        self.roots = Roots(self.base / "data", self.base / "run")
        self.tag = self.roots.tag
        self.socket = str(self.base / "docker.sock")
        self.host = f"unix://{self.socket}"
        self.log_path = self.base / "daemon.log"
        number = hashlib.sha256(str(self.base).encode()).digest()
        self.bip = f"10.{180 + number[0] % 20}.{number[1]}.1/24"
        self.pool = f"10.{200 + number[2] % 50}.0.0/16"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self._first_rules: list[str] | None = None
        self.environment = {
            **os.environ,
            "DOCKER_CONFIG": str(self.base / "client"),
            "DOCKER_HOST": self.host,
            "DOCKER_CLI_HINTS": "false",
        }
        self.environment.pop("DOCKER_CONTEXT", None)
        (self.base / "client").mkdir()

    # Life.

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        arguments = self.command(self.host)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until(self._answers, "the daemon answers", START_TIMEOUT_S)
        if self._first_rules is None:
            self._first_rules = self._rules()

    def command(self, host: str) -> list[str]:
        """Return the command line that starts this daemon on `host`."""
        return [
            sys.executable, "-m", "tiffin.daemon.main", "--debug",
            "--data-root", str(self.roots.data), "--exec-root", str(self.roots.exec),
            "--host", host, "--bip", self.bip,
            "--default-address-pool", f"base={self.pool},size=24",
            "--config-file", str(self._empty_config()), *self.options,
        ]  # fmt: skip

    def stop(self) -> int:
        """End the daemon by SIGTERM; containers go on. Return its exit status."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """Kill the daemon, and it alone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again."""
        if self.process is not None:
            self.stop()
        self.start()

    @property
    def pid(self) -> int:
        """Process id of the daemon."""
        assert self.process is not None
        return self.process.pid

    @property
    def log(self) -> str:
        """What the daemon has logged so far."""
        return self.log_path.read_text(errors="replace")

    # Clients.

    def docker(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002  # as subprocess has it
        check: bool = True,
        timeout: float = 120,
    ) -> Result:
        """Run the real client; AssertionError with both outputs if `check` and it fails."""
        return self.run("docker", *arguments, input=input, check=check, timeout=timeout)

    def tiffin(
        self,
        *arguments: str,
        input: str | None = None,  # noqa: A002
        check: bool = True,
        timeout: float = 120,
    ) -> Result:
        """Run our own client."""
        command = (sys.executable, "-m", "tiffin.cli.main")
        return self.run(*command, *arguments, input=input, check=check, timeout=timeout)

    def run(
        self,
        *command: str,
        input: str | None = None,  # noqa: A002
        check: bool = True,
        timeout: float = 120,
    ) -> Result:
        """Run a client with the environment that leads it to this daemon."""
        done = subprocess.run(
            command,
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)} → {done.returncode}\n--- stdout\n{done.stdout}"
                f"\n--- stderr\n{done.stderr}\n--- daemon\n{self.log[-4000:]}"
            )
        return done

    def spawn(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
        """Start the real client without waiting for it; pipes by default."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
        }  # fmt: skip
        return subprocess.Popen(
            ["docker", *arguments], env=self.environment, **{**pipes, **options}
        )

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Make one request; return the status and the decoded JSON (or the text)."""
        connection = UnixConnection(self.socket)
        with contextlib.closing(connection):
            data = None if body is None else json.dumps(body)
            headers = {"Content-Type": "application/json"} if data else {}
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            text = response.read().decode()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    # Material.

    def import_busybox(self, name: str = "bb:latest") -> str:
        """Make an image of the host's static busybox with `docker import`; return its name."""
        archive = busybox_tar()
        done = subprocess.run(
            ["docker", "import", "-c", 'CMD ["sh"]', "-", name],
            input=archive, capture_output=True, env=self.environment, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stderr.decode(), self.log[-4000:])
        return name

    # The end.

    def clean(self) -> None:
        """Remove what tests left, by the API."""
        for kind, list_command, remove in (
            ("container", ("ps", "-aq"), ("rm", "-f", "-v")),
            ("network", ("network", "ls", "-q", "--filter", "type=custom"), ("network", "rm")),
            ("volume", ("volume", "ls", "-q"), ("volume", "rm", "-f")),
        ):
            found = self.docker(*list_command, check=False)
            if found.returncode == 0 and found.stdout.split():
                done = self.docker(*remove, *found.stdout.split(), check=False)
                assert done.returncode == 0, f"cannot remove each {kind}: {done.stderr}"

    def leaks(self) -> list[str]:
        """Name what is left of containers; call it after `clean`."""
        return [*self._left_mounts(), *self._left_links(), *self._left_rules(),
                *self._left_cgroups(), *self._left_processes()]  # fmt: skip

    def destroy(self) -> None:
        """Clean, check for leaks, stop, and take away everything with this daemon's tag."""
        problems: list[str] = []
        try:
            if self.process is None or self.process.poll() is not None:
                self.start()
            self.clean()
            problems = self._settled_leaks()
            status = self.stop()
            if status != 0:
                problems.append(f"the daemon ended with {status}")
            self.wait_until(lambda: not self._left_processes(with_helpers=True), "all ended", 10)
        finally:
            if self.process is not None and self.process.poll() is None:
                self.kill9()
            self.take_away()
        assert not problems, f"left behind: {problems}\n{self.log_tail}"

    def wait_until(self, condition: Callable[[], object], what: str, timeout: float = 10.0) -> None:
        """Poll until `condition()` is true; AssertionError with the daemon's log otherwise."""
        deadline = time.monotonic() + timeout
        while not condition():
            if self.process is not None and self.process.poll() not in (None, 0, -9):
                raise AssertionError(f"the daemon ended\n{self.log[-6000:]}")
            if time.monotonic() > deadline:
                raise AssertionError(f"timed out: {what}\n{self.log[-6000:]}")
            time.sleep(0.01)

    log_tail = ""

    def _settled_leaks(self) -> list[str]:
        deadline = time.monotonic() + 5
        while (found := self.leaks()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _answers(self) -> bool:
        try:
            return self.api("GET", "/_ping")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(30)
        self.process = None
        return status

    def _empty_config(self) -> Path:
        path = self.base / "daemon.json"
        if not path.exists():
            path.write_text("{}")
        return path

    def _left_mounts(self) -> list[str]:
        table = Path("/proc/self/mountinfo").read_text()
        return [f"mount {line.split()[4]}" for line in table.splitlines() if str(self.base) in line]

    def _left_links(self) -> list[str]:
        """Interfaces that bear our tag: only the default bridge may stay."""
        return [
            f"interface {name}"
            for name in os.listdir("/sys/class/net")
            if name.startswith(self.tag) and name != f"{self.tag}0"
        ]

    def _left_rules(self) -> list[str]:
        """Lines of our nftables tables that were not there when the daemon had just started."""
        return [f"rule {line}" for line in self._rules() if line not in (self._first_rules or ())]

    def _rules(self) -> list[str]:
        """Return the lines of our tables, without counts."""
        if not shutil.which("nft"):
            return []
        lines = []
        for family in ("ip", "ip6", "inet", "bridge"):
            done = subprocess.run(
                ["nft", "list", "table", family, self.tag],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            lines += [
                re.sub(r"packets \d+ bytes \d+", "", line) for line in done.stdout.splitlines()
            ]
        return [line.strip() for line in lines if line.strip()]

    def _left_cgroups(self) -> list[str]:
        left = []
        for root in self._cgroup_roots():
            left += [
                f"cgroup {child}"
                for child in root.iterdir()
                if child.is_dir() and child.name != "standing"  # the daemon's own
            ]
        return left

    def _cgroup_roots(self) -> list[Path]:
        base = Path("/sys/fs/cgroup")
        return [path for path in (base / self.tag, *base.glob(f"*/{self.tag}")) if path.is_dir()]

    def _left_processes(self, *, with_helpers: bool = False) -> list[str]:
        """Processes that name our roots or sit in our cgroups.

        The spawner and the shim that it keeps ready end with the daemon, so that those are only
        looked for `with_helpers`, after it.
        """
        left = []
        for directory in Path("/proc").glob("[0-9]*"):
            pid = int(directory.name)
            if pid == os.getpid() or (self.process is not None and pid == self.process.pid):
                continue
            with contextlib.suppress(OSError):
                name = (directory / "comm").read_text().strip()
                command = (directory / "cmdline").read_bytes()
                grouped = f"/{self.tag}/" in (directory / "cgroup").read_text()
                helper = name.startswith("tiffin-") and str(self.base).encode() in command
                if grouped or (helper and with_helpers):
                    left.append(f"process {pid} {name}")
        return left

    def take_away(self) -> None:
        """Remove everything that bears this daemon's tag or lies below its roots."""
        self.log_tail = self.log[-4000:] if self.log_path.exists() else ""
        for entry in self._left_processes(with_helpers=True):
            with contextlib.suppress(OSError):
                os.kill(int(entry.split()[1]), signal.SIGKILL)
        for mount in reversed(self._left_mounts()):
            subprocess.run(["umount", "-l", mount.split()[1]], check=False)
        for link in Path("/sys/class/net").iterdir():
            if link.name.startswith(self.tag):
                subprocess.run(["ip", "link", "del", link.name], check=False, capture_output=True)
        if shutil.which("nft"):
            for family in ("ip", "ip6", "inet", "bridge"):
                command = ["nft", "delete", "table", family, self.tag]
                subprocess.run(command, check=False, capture_output=True)
        for root in self._cgroup_roots():
            for path in sorted(root.rglob("*"), reverse=True):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()
            with contextlib.suppress(OSError):
                root.rmdir()
        shutil.rmtree(self.base, ignore_errors=True)


def busybox_tar(applets: Sequence[str] = ()) -> bytes:
    """Return a root file system of the host's static busybox, as a tar archive."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is needed"
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("root", 0o700),
                           ("home", 0o755), ("var", 0o755)):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        data = Path(busybox).read_bytes()
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
        for applet in applets or listed.stdout.split():
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n"),
            ("etc/group", "root:x:0:\nuser:x:1000:\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()
