"""Identifiers: distinct types, so that a container's id never passes for a name."""

import re
import secrets
from typing import NewType

ContainerId = NewType("ContainerId", str)
"""64 lower-case hex digits."""
ExecId = NewType("ExecId", str)
NetworkId = NewType("NetworkId", str)
EndpointId = NewType("EndpointId", str)

SHORT_LENGTH = 12
_ID = re.compile(r"[0-9a-f]{64}")


def new_id() -> str:
    """Return 64 random hex digits that are never all decimal in their short form.

    An all-digit short id could be taken for a number, e.g. as a hostname.
    """
    while True:
        candidate = secrets.token_hex(32)
        if not candidate[:SHORT_LENGTH].isdigit():
            return candidate


def is_id(text: str) -> bool:
    """Tell whether `text` is a full identifier."""
    return _ID.fullmatch(text) is not None


def short(identifier: str) -> str:
    """Return the 12-digit form that clients print."""
    return identifier.rpartition(":")[2][:SHORT_LENGTH]
