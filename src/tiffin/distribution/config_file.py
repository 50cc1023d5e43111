"""The registry's configuration as a file: defaults, then a TOML file, then the command line.

A file looks like this; everything is optional:

```toml
listen = ["127.0.0.1:5000"]       # ":5000" is every address
root = "/srv/registry"
read-only = false
allow-sparse = false              # accept manifests that refer to what is not there
manifest-limit = "4m"
log-format = "text"               # text, json, none
shutdown-timeout = "30s"
web = true                        # the page for people at /

[tls]
cert = "cert.pem"
key = "key.pem"
client-ca = "ca.pem"

[auth]
htpasswd = "users"
tokens = true                     # also issue tokens at /token (needed for anonymous pulls)
[auth.token]                      # or: accept the tokens of another server
realm = "https://auth.example.org/token"
service = "registry.example.org"
issuer = "auth.example.org"
keys = ["issuer.pem"]

[[access]]
users = ["alice", "bob"]          # "*": everybody who is known; "anonymous"
repositories = ["team/**", "{user}/**"]
rights = ["pull", "push", "delete"]

[storage]
s3 = "bucket/prefix"
endpoint = "https://s3.example.org"
region = "us-east-1"

[mirror]
upstream = "https://registry-1.docker.io"
username = "me"
password-file = "hub-password"
ttl = "5m"

[gc]
interval = "6h"                   # "0s": only when asked to
grace = "24h"
uploads = "168h"
untagged = false
```
Paths are relative to the file.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiffin.distribution.access.policy import Rule, parse_rule
from tiffin.distribution.config import (
    LOG_FORMATS,
    MANIFEST_LIMIT,
    Config,
    ForeignTokens,
    Mirror,
    ObjectStorage,
    Tls,
    default_root,
)
from tiffin.distribution.garbage import Retention
from tiffin.errors import InvalidArgument


def load(file: Path | None, given: Mapping[str, Any]) -> Config:
    """Read the file and put what is `given` (nested as in the file) over it; InvalidArgument."""
    raw: dict[str, Any] = {}
    base = Path()
    if file is not None:
        base = file.parent
        try:
            raw = tomllib.loads(file.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidArgument(f"{file}: {error}") from error
        raw = _absolute(raw, base)
    return _Reader(_merged(raw, given)).config()


def parse_duration(text: str) -> float:
    """Return seconds: `90s`, `5m`, `1h30m`, `7d`; InvalidArgument."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InvalidArgument(f"invalid duration {text!r}: write 30s, 5m, 24h or 7d")
    return float(sum(float(number) * units[unit] for number, unit in parts))


def parse_size(text: str) -> int:
    """Return bytes: `4m`, `512k`; InvalidArgument."""
    match = re.fullmatch(r"(\d{1,12})\s*([kmg]?)i?b?", text.strip().lower())
    if match is None:
        raise InvalidArgument(f"invalid size {text!r}: write 4m or 512k")
    return int(match[1]) << (10 * " kmg".index(match[2] or " "))


_PATHS = {"root": str, "cert": str, "key": str, "client-ca": str, "htpasswd": str,
          "password-file": str, "secret-key-file": str}  # fmt: skip


def _absolute(raw: dict[str, Any], base: Path) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in raw.items():
        if isinstance(value, dict):
            out[name] = _absolute(value, base)
        elif name in _PATHS and isinstance(value, str):
            out[name] = str(base / value)
        elif name == "keys" and isinstance(value, list):
            out[name] = [str(base / item) for item in value]
        else:
            out[name] = value
    return out


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for name, value in over.items():
        current = out.get(name)
        nested = isinstance(value, Mapping) and isinstance(current, Mapping)
        out[name] = _merged(current, value) if nested and current is not None else value
    return out


class _Table:
    """One table of the file; what is left at the end is unknown."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, Mapping):
            raise InvalidArgument(f"configuration: {where} is not a table")
        self._raw = dict(raw)
        self._where = f"{where}." if where else ""

    def text(self, name: str, default: str = "") -> str:
        return str(self._take(name, str, default))

    def flag(self, name: str, *, default: bool) -> bool:
        return bool(self._take(name, bool, default))

    def texts(self, name: str) -> tuple[str, ...]:
        value: list[object] = self._take(name, list, [])
        if not all(isinstance(item, str) for item in value):
            raise InvalidArgument(f"configuration: {self._where}{name} is not a list of texts")
        return tuple(str(item) for item in value)

    def file(self, name: str) -> Path | None:
        text = self.text(name)
        return Path(text) if text else None

    def seconds(self, name: str, default: float) -> float:
        text = self.text(name)
        return parse_duration(text) if text else default

    def table(self, name: str) -> "_Table | None":
        raw = self._raw.pop(name, None)
        return None if raw is None else _Table(raw, self._where + name)

    def tables(self, name: str) -> "list[_Table]":
        entries: list[object] = self._take(name, list, [])
        return [_Table(entry, f"{self._where}{name}[{n}]") for n, entry in enumerate(entries)]

    def required(self, name: str) -> str:
        if not (text := self.text(name)):
            raise InvalidArgument(f"configuration: {self._where}{name} is missing")
        return text

    def finish(self) -> None:
        if self._raw:
            raise InvalidArgument(f"configuration: unknown key {self._where}{min(self._raw)}")

    def _take(self, name: str, kind: type, default: Any) -> Any:  # noqa: ANN401  # TOML's types
        value = self._raw.pop(name, default)
        if not isinstance(value, kind):
            raise InvalidArgument(f"configuration: {self._where}{name} is not a {kind.__name__}")
        return value


class _Reader:
    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._top = _Table(raw, "")

    def config(self) -> Config:
        top = self._top
        defaults = Config()
        limit = top.text("manifest-limit")
        config = Config(
            listen=top.texts("listen") or defaults.listen,
            root=top.file("root") or default_root(),
            read_only=top.flag("read-only", default=False),
            allow_sparse=top.flag("allow-sparse", default=False),
            manifest_limit=parse_size(limit) if limit else MANIFEST_LIMIT,
            log_format=top.text("log-format", "text"),
            shutdown_timeout_s=top.seconds("shutdown-timeout", defaults.shutdown_timeout_s),
            web=top.flag("web", default=True),
            tls=self._tls(),
            access=self._access(),
            storage=self._storage(),
            mirror=self._mirror(),
        )
        config = self._gc(self._auth(config))
        top.finish()
        _check(config)
        return config

    def _tls(self) -> Tls | None:
        table = self._top.table("tls")
        if table is None:
            return None
        tls = Tls(
            Path(table.required("cert")), Path(table.required("key")), table.file("client-ca")
        )
        table.finish()
        return tls

    def _auth(self, config: Config) -> Config:
        table = self._top.table("auth")
        if table is None:
            return config
        foreign = None
        if token := table.table("token"):
            foreign = ForeignTokens(
                token.required("realm"),
                token.required("service"),
                token.required("issuer"),
                tuple(Path(name) for name in token.texts("keys")),
            )
            token.finish()
        config = replace(
            config,
            htpasswd=table.file("htpasswd"),
            tokens=table.flag("tokens", default=False),
            foreign_tokens=foreign,
        )
        table.finish()
        return config

    def _access(self) -> tuple[Rule, ...]:
        rules = []
        for table in self._top.tables("access"):
            rules.append(
                parse_rule(table.texts("users"), table.texts("repositories"), table.texts("rights"))
            )
            table.finish()
        return tuple(rules)

    def _storage(self) -> ObjectStorage | None:
        table = self._top.table("storage")
        if table is None:
            return None
        bucket, _, prefix = table.required("s3").partition("/")
        secret = table.text("secret-key")
        if file := table.file("secret-key-file"):
            secret = _read_secret(file)
        storage = ObjectStorage(
            bucket,
            prefix.strip("/"),
            table.text("endpoint"),
            table.text("region", os.environ.get("AWS_REGION", "us-east-1")),
            table.text("access-key") or os.environ.get("AWS_ACCESS_KEY_ID", ""),
            secret or os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
            table.text("session-token") or os.environ.get("AWS_SESSION_TOKEN", ""),
        )
        table.finish()
        return storage

    def _mirror(self) -> Mirror | None:
        table = self._top.table("mirror")
        if table is None:
            return None
        password = table.text("password")
        if file := table.file("password-file"):
            password = _read_secret(file)
        upstream = table.required("upstream").rstrip("/")
        if "://" not in upstream:
            upstream = f"https://{upstream}"
        mirror = Mirror(
            upstream,
            table.text("username"),
            password,
            table.seconds("ttl", 300.0),
            table.flag("insecure", default=False),
        )
        table.finish()
        return mirror

    def _gc(self, config: Config) -> Config:
        table = self._top.table("gc")
        if table is None:
            return config
        keep = Retention()
        config = replace(
            config,
            gc_interval_s=table.seconds("interval", config.gc_interval_s),
            retention=Retention(
                table.seconds("grace", keep.grace_s),
                table.seconds("uploads", keep.uploads_s),
                table.flag("untagged", default=False),
            ),
        )
        table.finish()
        return config


def _read_secret(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{file}: {error}") from error


def _check(config: Config) -> None:
    if config.log_format not in LOG_FORMATS:
        raise InvalidArgument(f"unknown log format {config.log_format!r}: {', '.join(LOG_FORMATS)}")
    if config.tokens and config.htpasswd is None:
        raise InvalidArgument("tokens are issued to the users of an htpasswd file: give one")
    if config.htpasswd is not None and config.foreign_tokens is not None:
        raise InvalidArgument("either an htpasswd file or another server's tokens, not both")
    if config.access and not config.is_guarded:
        raise InvalidArgument("access rules need users: give an htpasswd file")
    if config.mirror and not config.mirror.upstream.startswith(("http://", "https://")):
        raise InvalidArgument(f"invalid upstream {config.mirror.upstream!r}")
