"""What a client asks of `POST /build` and `/build/prune`, parsed and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiffin.api.filters import Filters
from tiffin.build.executor import RunLimits
from tiffin.registry.credentials import Credentials
from tiffin.spec.platform import Platform
from tiffin.spec.reference import Reference


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One build. `dockerfile` is a path in the context, "" for the default name."""

    dockerfile: str = ""
    names: tuple[Reference, ...] = ()
    remote: str = ""
    identity: str = ""
    """`buildid`, by which it can be cancelled."""
    quiet: bool = False
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    pull: bool = False
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: Platform | None = None
    network: str = "default"
    limits: RunLimits = field(default_factory=RunLimits)
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    explains: bool = False
    """Say for each step why it was not in the cache."""


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What to prune. Sizes in bytes: records go, oldest use first, until what is left fits."""

    everything: bool = False
    filters: Filters = field(default_factory=Filters)
    reserved_space: int = 0
    preview: bool = False
    """Only tell what would go."""
