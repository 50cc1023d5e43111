"""The sockets that the daemon listens on, bound before anything slow is done."""

import contextlib
import grp
import logging
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.daemon.config import Config, TlsFiles
from tiffin.daemon.notify import passed_sockets
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)

BACKLOG = 512
_TCP = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:/\[\]]*)(?::([0-9]{1,5}))?/?")


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket; `secure` means TLS; `path` is what to unlink at the end."""

    socket: socket.socket
    host: str
    secure: bool = False
    path: Path | None = None

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()


@contextlib.contextmanager
def listening(config: Config) -> Iterator[list[Listener]]:
    """Bind every host of the configuration; close them all at the end.

    InvalidArgument for a malformed host, Conflict if somebody answers on a unix socket, OSError.
    """
    with contextlib.ExitStack() as stack:
        listeners: list[Listener] = []
        for host in config.hosts:
            for listener in _listen(host, config):
                stack.callback(listener.close)
                listeners.append(listener)
        yield listeners


def tls_context(files: TlsFiles) -> "ssl.SSLContext":
    """Make the server's context; FailedPrecondition names the file that is at fault."""
    import ssl  # 15 MB that only a TLS host needs

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (files.certificate, files.key, *([files.ca] if files.verify else [])):
        if not path.is_file():
            raise FailedPrecondition(f"could not load X509 key pair: {path} does not exist")
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.verify:
            context.load_verify_locations(files.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, OSError) as error:
        raise FailedPrecondition(
            f"could not load X509 key pair {files.certificate}, {files.key}: {error}"
        ) from error
    return context


def _listen(host: str, config: Config) -> list[Listener]:
    kind, separator, address = host.partition("://")
    if not separator:
        kind, address = ("unix", host) if host.startswith("/") else ("tcp", host)
    if kind == "unix":
        return [_unix(Path(address or f"{config.roots.exec}/tiffin.sock"), config)]
    if kind == "tcp":
        return _tcp(address, config)
    if kind == "fd":
        return _passed(address, config)
    raise InvalidArgument(f"invalid bind address (unsupported proto): {host}")


def _unix(path: Path, config: Config) -> Listener:
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # Nobody may connect between bind and the final mode.
    mask = os.umask(0o777)
    try:
        sock.bind(str(path))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.umask(mask)
    os.chown(path, 0 if os.geteuid() == 0 else -1, _group(config))
    path.chmod(0o660)
    sock.listen(BACKLOG)
    return Listener(sock, f"unix://{path}", path=path)


def _remove_stale(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_socket():
        raise Conflict(f"can't create unix socket {path}: a file that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
    raise Conflict(f"can't create unix socket {path}: another process answers on it")


def _group(config: Config) -> int:
    if config.group.isdecimal():
        return int(config.group)
    try:
        return grp.getgrnam(config.group).gr_gid if config.group else 0
    except KeyError as error:
        if config.group_required:
            raise InvalidArgument(f"group {config.group} not found") from error
        log.debug("the unix socket is root's alone", extra={"missing_group": config.group})
        return 0


def _tcp(address: str, config: Config) -> list[Listener]:
    match = _TCP.fullmatch(address)
    default_port = 2376 if config.tls else 2375
    if not match or int(match[2] or default_port) > 65535:
        raise InvalidArgument(f"invalid bind address: tcp://{address}")
    name = match[1].strip("[]") or "localhost"
    port = int(match[2] or default_port)
    if config.tls is None or not config.tls.verify:
        log.warning(
            "[DEPRECATION NOTICE]: API is accessible on http without encryption or verified"
            " clients. Anyone who can reach it has root on this machine",
            extra={"host": f"tcp://{address}"},
        )
    listeners: list[Listener] = []
    for family, *_, where in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            sock.bind(where)
            sock.listen(BACKLOG)
        except OSError as error:
            sock.close()
            if family == socket.AF_INET6 and listeners:
                continue
            raise OSError(error.errno, error.strerror, f"tcp://{address}") from error
        shown = "tcp://{0}:{1}" if family == socket.AF_INET else "tcp://[{0}]:{1}"
        host = shown.format(*sock.getsockname())
        listeners.append(Listener(sock, host, secure=config.tls is not None))
    return listeners


def _passed(address: str, config: Config) -> list[Listener]:
    sockets = passed_sockets()
    if not sockets:
        raise FailedPrecondition(
            "no sockets found via socket activation: make sure the service was started by systemd"
        )
    if address not in ("", "*"):
        wanted = [sock for sock in sockets if str(sock.fileno()) == address]
        if not wanted:
            raise InvalidArgument(f"failed to parse systemd fd address: no fd {address} was passed")
        sockets = wanted
    secure = config.tls is not None
    return [
        Listener(sock, f"fd://{sock.fileno()}", secure and sock.family != socket.AF_UNIX)
        for sock in sockets
    ]
