"""Which names volumes may have, in Docker's words."""

import re

from tiffin.errors import InvalidArgument

ANONYMOUS_LABEL = "com.docker.volume.anonymous"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_LONGEST = 255


def check_name(name: str) -> None:
    """Raise InvalidArgument unless `name` can be a volume's."""
    if len(name) == 1:
        raise InvalidArgument(
            f"create {name}: volume name is too short, names should be at least two alphanumeric"
            " characters"
        )
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory,'
            " use absolute path"
        )
    if len(name) > _LONGEST:
        raise InvalidArgument(f"create {name}: volume name is longer than {_LONGEST} characters")
