"""`registry serve`: an OCI registry, or a cache of one."""

from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Flag, Values, boolean, listing, string
from tiffin.cli.registry.settings import FLAGS, absolute, given, load
from tiffin.errors import TiffinError

_FLAGS: list[Flag] = [
    listing("listen", 'Address to listen on (default "127.0.0.1:5000")', "l"),
    *FLAGS,
    string("tls-cert", "TLS certificate (PEM)"),
    string("tls-key", "Key of the TLS certificate (PEM)"),
    string("tls-client-ca", "Only let clients in whose certificates this authority has signed"),
    string("htpasswd", 'Let users in by name and password (see "registry user")'),
    boolean("tokens", "Issue tokens to the users of the htpasswd file"),
    boolean("anonymous-pull", "Let everybody pull"),
    boolean("read-only", "Refuse to change anything"),
    boolean("allow-sparse", "Accept manifests that refer to content that is not there"),
    string("mirror", "Be a pull-through cache of the registry at this URL"),
    string("mirror-username", "User name for the mirrored registry"),
    string("mirror-password-file", "File with the password for the mirrored registry"),
    string("mirror-ttl", "How long a tag of the mirrored registry is believed (default 5m)"),
    string("gc-interval", 'Time between garbage collections (default 6h; "0s" for none)'),
    string("gc-grace", "How long content is kept that nothing refers to (default 24h)"),
    string("log-format", 'Access log: "text", "json" or "none"'),
    boolean("no-web", "Do not serve the web page"),
]
_TABLES = (
    ("tls", "cert", "tls-cert"),
    ("tls", "key", "tls-key"),
    ("tls", "client-ca", "tls-client-ca"),
    ("auth", "htpasswd", "htpasswd"),
    ("mirror", "upstream", "mirror"),
    ("mirror", "username", "mirror-username"),
    ("mirror", "password-file", "mirror-password-file"),
    ("mirror", "ttl", "mirror-ttl"),
    ("gc", "interval", "gc-interval"),
    ("gc", "grace", "gc-grace"),
)
_FILES = frozenset({"tls-cert", "tls-key", "tls-client-ca", "htpasswd", "mirror-password-file"})
_FOR_ALL = [
    {"users": ["anonymous"], "repositories": ["**"], "rights": ["pull"]},
    {"users": ["*"], "repositories": ["**"], "rights": ["*"]},
]


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Serve until told to stop."""
    del context, arguments
    config = load(values, given(values) | _given(values))
    from tiffin.distribution.service import run as serve  # the server's weight is its own

    try:
        serve(config)
    except (TiffinError, OSError) as error:
        raise CommandFailed(f"cannot serve the registry: {error}") from error
    return 0


def _given(values: Values) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if values["listen"]:
        out["listen"] = values["listen"]
    if values["log-format"]:
        out["log-format"] = values["log-format"]
    for name in ("read-only", "allow-sparse"):
        if values[name]:
            out[name] = True
    if values["no-web"]:
        out["web"] = False
    for table, key, flag in _TABLES:
        if values[flag]:
            value = absolute(values[flag]) if flag in _FILES else values[flag]
            out.setdefault(table, {})[key] = value
    if values["tokens"]:
        out.setdefault("auth", {})["tokens"] = True
    if values["anonymous-pull"]:
        if not values["htpasswd"]:
            raise CommandFailed("--anonymous-pull needs --htpasswd: without it everybody may pull")
        out["access"] = _FOR_ALL
    return out


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Run a registry",
    run=run,
    flags=_FLAGS,
    maximum=0,
    details="""\
Serves an OCI registry (distribution-spec 1.1) at http://127.0.0.1:5000 until it is told to stop.
With --mirror it is a cache of another registry instead: it fetches what it lacks and goes on
serving what it has when the other one is down or limits its rate.""",
)
