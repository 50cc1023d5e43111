"""What a registry can be told."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from tiffin.distribution.access.policy import Rule
from tiffin.distribution.garbage import Retention

MANIFEST_LIMIT = 4 << 20
LOG_FORMATS = ("text", "json", "none")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of PEM."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ForeignTokens:
    """Another server's tokens."""

    realm: str
    service: str
    issuer: str
    keys: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ObjectStorage:
    """An S3-compatible bucket; empty keys are taken from the environment, as AWS's tools do."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = "us-east-1"
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The registry that a pull-through cache is in front of."""

    upstream: str
    username: str = ""
    password: str = field(default="", repr=False)
    ttl_s: float = 300.0
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `tiffin registry serve` can be told."""

    listen: tuple[str, ...] = ("127.0.0.1:5000",)
    root: Path = Path()
    read_only: bool = False
    allow_sparse: bool = False
    manifest_limit: int = MANIFEST_LIMIT
    log_format: str = "text"
    shutdown_timeout_s: float = 30.0
    web: bool = True
    tls: Tls | None = None
    htpasswd: Path | None = None
    tokens: bool = False
    foreign_tokens: ForeignTokens | None = None
    access: tuple[Rule, ...] = ()
    storage: ObjectStorage | None = None
    mirror: Mirror | None = None
    gc_interval_s: float = 6 * 3600.0
    retention: Retention = field(default_factory=Retention)

    @property
    def is_guarded(self) -> bool:
        """Whether clients must say who they are."""
        return self.htpasswd is not None or self.foreign_tokens is not None


def default_root() -> Path:
    """Return where a registry is kept if nobody says so."""
    if os.geteuid() == 0:
        return Path("/var/lib/tiffin-registry")
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "tiffin-registry"
