"""What the builder needs of whoever downloads ADD's URLs and remote contexts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Fetched:
    """A downloaded file. `name` is from the answer's headers or the URL; `mtime_s` Unix or None."""

    path: Path
    name: str
    sha256: str
    content_type: str = ""
    mtime_s: int | None = None


class Fetcher(Protocol):
    """Downloads by http and https; called from several threads."""

    def fetch(self, url: str, directory: Path) -> Fetched:
        """Download into a new file below `directory`; TiffinError names the URL."""
