"""What operations work with: the stores, the executor, and the settings of one build."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.build.cancellation import CancellationToken
from tiffin.build.executor import Executor, RunLimits
from tiffin.build.fetch import Fetcher
from tiffin.build.progress import Progress, Silence
from tiffin.content.store import ContentStore
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.times import format_time

if TYPE_CHECKING:
    from tiffin.build.cache import BuildCache


@dataclass(frozen=True, slots=True)
class Worker:
    """One build's surroundings. `scratch` is a directory of its own that goes with the build."""

    snapshotter: Snapshotter
    content: ContentStore
    cache: "BuildCache"
    executor: Executor
    fetcher: Fetcher
    lease: Lease
    scratch: Path
    progress: Progress = field(default_factory=Silence)
    cancellation: CancellationToken = field(default_factory=CancellationToken)
    limits: RunLimits = field(default_factory=RunLimits)
    network: str = "default"
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    epoch: int | None = None
    """SOURCE_DATE_EPOCH: Unix seconds that nothing in the image may be younger than."""
    explains: bool = False
    cache_from: Sequence[Image] = ()
    """Images whose steps may be taken over."""

    def created(self) -> str:
        """Return the time of a step that ends now, RFC 3339."""
        return format_time(self.now_ns())

    def now_ns(self) -> int:
        """Return the time that new files get, Unix ns."""
        return time.time_ns() if self.epoch is None else self.epoch * 10**9
