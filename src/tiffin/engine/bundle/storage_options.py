"""`--storage-opt`: how large a container's own layer may grow (`size=10G`)."""

import re

from tiffin.api.types.host_config import HostConfig
from tiffin.errors import InvalidArgument

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWERS = " kmgtp"


def layer_size(host: HostConfig) -> int:
    """Return the limit in bytes, 0 for none; InvalidArgument for what is no option or size."""
    size = 0
    for key, value in (host.storage_opt or {}).items():
        if key.lower() != "size":
            raise InvalidArgument(f"unknown option {key}")
        match = _SIZE.fullmatch(value)
        if match is None:
            raise InvalidArgument(f"invalid size: '{value}'")
        size = int(float(match[1]) * 1024 ** _POWERS.index(match[2].lower() or " "))
    return size
