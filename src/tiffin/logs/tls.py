"""TLS to log servers. Loaded by the drivers that use it: it takes megabytes."""

import socket
import ssl
from pathlib import Path

from tiffin.logs.dial import CONNECT_TIMEOUT_S, DialError
from tiffin.logs.syslog_options import TlsFiles


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return the settings of a client; DialError for files that cannot be used."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if files.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif files.ca:
        try:
            context.load_verify_locations(cadata=Path(files.ca).read_text())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DialError(
                f'could not read CA certificate "{files.ca}": open {files.ca}: {reason}'
            ) from error
        except ValueError as error:
            raise DialError(f"failed to append certificates from PEM file: {files.ca!r}") from error
    if files.certificate or files.key:
        try:
            context.load_cert_chain(files.certificate, files.key)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DialError(f"could not load X509 key pair: {reason}") from error
    return context


def wrap(context: ssl.SSLContext, connection: socket.socket, host: str) -> ssl.SSLSocket:
    """Return the connection under TLS; DialError, and then it is closed."""
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        wrapped = context.wrap_socket(connection, server_hostname=host)
        wrapped.settimeout(None)
    except OSError as error:
        connection.close()
        reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error
        raise DialError(f"tls: failed to verify certificate or to connect: {reason}") from error
    return wrapped


def is_closed_by_tls_peer(connection: socket.socket) -> bool:
    """Whether the peer has closed it: what is sent now would be lost silently."""
    connection.settimeout(0)
    try:
        return not connection.recv(1)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(None)
