"""An upload under way, as the registry sees it (OCI distribution-spec, section Push)."""

import re
from dataclasses import dataclass, replace

from yarl import URL

from tiffin.registry.auth import Scope

_PROGRESS = re.compile(r"(?:bytes=)?0-(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Upload:
    """Where the next bytes of a blob go, and which: those from `offset` on.

    `smallest` is the least length of a piece that is not the last, bytes.
    """

    location: URL
    scope: Scope
    offset: int = 0
    smallest: int = 0

    def at(self, offset: int, location: URL | None) -> "Upload":
        """Return the upload after an answer of the registry, which may move it."""
        return replace(self, offset=offset, location=location or self.location)


def parse_progress(text: str) -> int:
    """Return how many bytes an upload's `Range` tells of: `0-9` is ten, `0-0` none or one.

    Registries send `0-0` for an upload that has nothing yet; a single byte is better sent again
    (and refused) than left out.
    """
    match = _PROGRESS.fullmatch(text.strip())
    last = int(match[1]) if match else 0
    return last + 1 if last else 0
