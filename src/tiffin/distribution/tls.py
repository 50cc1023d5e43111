"""Serving over TLS: certificates from files, which may be replaced while we serve."""

import ssl

from tiffin.distribution.config import Tls
from tiffin.errors import InvalidArgument


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return the context to serve with; clients need a certificate if an authority is given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    reload_certificate(context, tls)
    try:
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(f"{tls.client_ca}: {error}") from error
    return context


def reload_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Use what the files hold now for new connections; InvalidArgument."""
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument(f"cannot load {tls.cert} and {tls.key}: {error}") from error
