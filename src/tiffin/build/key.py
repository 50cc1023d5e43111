"""Cache keys that remember what went into them, so that a miss can be explained."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from tiffin.spec.digest import Digest, digest_bytes

Parts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Key:
    """A node of a Merkle tree: the digest of named parts, each a literal or another digest."""

    digest: Digest
    parts: Parts

    @classmethod
    def of(cls, parts: Iterable[tuple[str, str]]) -> "Key":
        """Make a key of parts; their order counts."""
        kept = tuple(parts)
        return cls(digest_bytes(json.dumps(kept, separators=(",", ":")).encode()), kept)


def differences(before: Parts, after: Parts) -> list[str]:
    """Say which named parts differ, e.g. `file app.py changed`, `parent step changed`."""
    old, new = dict(before), dict(after)
    found = [f"{name} changed" for name in new if name in old and old[name] != new[name]]
    found += [f"{name} added" for name in new if name not in old]
    found += [f"{name} removed" for name in old if name not in new]
    return found
