"""From global flags and environment to a connected daemon, started on demand.

Precedence as Docker's: `-H` or `--context`, then DOCKER_HOST, DOCKER_CONTEXT, the current context, and
at last the first default socket that exists. Only when that last step finds nothing is a daemon
started, in the background, on Tiffin's own socket.
"""

import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator

from tiffin.cli.command import CommandFailed, api_environment
from tiffin.cli.flags import Values
from tiffin.client.api import Api
from tiffin.client.contexts import (
    ContextError,
    config_directory,
    context_endpoint,
    current_context,
    load_config,
)
from tiffin.client.endpoint import Endpoint, TlsFiles, parse_endpoint
from tiffin.client.http import ConnectFailed
from tiffin.client.http import connect as open_stream

OWN_SOCKET = os.environ.get("TIFFIN_SOCKET") or "/run/tiffin/tiffin.sock"
"""Where a daemon is looked for, and started, when nothing else is said: TIFFIN_SOCKET moves it."""
DOCKER_SOCKET = "/var/run/docker.sock"
START_TIMEOUT_S = 20.0


def connect(options: Values) -> Api:
    """Return the API of the daemon in force; CommandFailed if there is none."""
    directory = config_directory(options["config"])
    endpoint = _chosen(options, directory)
    if endpoint is None:
        endpoint = _default()
    headers = load_config(directory).get("HttpHeaders") or {}
    return Api(endpoint, api_environment(), headers)


def _chosen(options: Values, directory: str) -> Endpoint | None:
    hosts: list[str] = options["host"]
    if len(hosts) > 1:
        raise CommandFailed("specify only one -H")
    if hosts and options["context"]:
        raise CommandFailed("conflicting options: cannot specify both --host and --context")
    try:
        context = current_context(directory, options["context"], bool(hosts), os.environ)
        if context != "default":
            return context_endpoint(directory, context)
    except ContextError as error:
        raise CommandFailed(str(error)) from error
    host = hosts[0] if hosts else os.environ.get("DOCKER_HOST", "")
    return parse_endpoint(host, _tls(options)) if host else None


def _tls(options: Values) -> TlsFiles | None:
    verify = options["tlsverify"] or bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (verify or options["tls"] or os.environ.get("DOCKER_TLS")):
        return None
    base = os.environ.get("DOCKER_CERT_PATH") or config_directory(options["config"])

    def present(given: str, name: str) -> str:
        path = os.path.join(base, name)
        return given or (path if os.path.exists(path) else "")  # noqa: PTH110

    return TlsFiles(
        present(options["tlscacert"], "ca.pem"),
        present(options["tlscert"], "cert.pem"),
        present(options["tlskey"], "key.pem"),
        verify=bool(verify),
    )


def _default() -> Endpoint:
    moved = "TIFFIN_SOCKET" in os.environ
    for path in (OWN_SOCKET,) if moved else (OWN_SOCKET, DOCKER_SOCKET):
        endpoint = Endpoint("unix", path)
        if _answers(endpoint):
            return endpoint
    endpoint = Endpoint("unix", OWN_SOCKET)
    if os.geteuid() != 0:
        raise CommandFailed(
            f"Cannot connect to the Docker daemon at {endpoint.text}. Is the docker daemon running?"
        )
    with _starting():
        # Whoever held the lock may have started it.
        if not _answers(endpoint):
            _start_daemon(endpoint)
    return endpoint


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Let one client at a time start the daemon."""
    directory = os.path.dirname(OWN_SOCKET)  # noqa: PTH120
    os.makedirs(directory, mode=0o711, exist_ok=True)  # noqa: PTH103
    descriptor = os.open(
        os.path.join(directory, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _daemon_command() -> list[str]:
    """Return how a daemon is started; TIFFIN_DAEMON may hold another command line."""
    import shlex  # only the first command after boot pays

    given = os.environ.get("TIFFIN_DAEMON", "")
    command = shlex.split(given) if given else [sys.executable, "-m", "tiffin.daemon.main"]
    return [*command, "--host", f"unix://{OWN_SOCKET}"]


def _answers(endpoint: Endpoint) -> bool:
    try:
        open_stream(endpoint).close()
    except ConnectFailed:
        return False
    return True


def _start_daemon(endpoint: Endpoint) -> None:
    import subprocess  # only the first command after boot pays

    # The readiness message of sd_notify(3) tells when the daemon serves; no polling is needed.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        name = f"\0tiffin-start-{os.getpid()}"
        ready.bind(name)
        ready.settimeout(0.1)
        log_path = os.path.join(os.path.dirname(OWN_SOCKET), "tiffind.log")  # noqa: PTH120
        with open(log_path, "ab") as log:
            daemon = subprocess.Popen(  # it is meant to outlive this command
                _daemon_command(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": "@" + name[1:]}, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if daemon.poll() is not None and not _answers(endpoint):
                raise CommandFailed(f"the daemon could not be started: see {log_path}")
            try:
                if b"READY=1" in ready.recv(4096):
                    return
            except TimeoutError:
                if _answers(endpoint):
                    return
    raise CommandFailed(f"the daemon did not get ready in {START_TIMEOUT_S:.0f} s: see {log_path}")
