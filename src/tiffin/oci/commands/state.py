"""`state`: how a container is, as the specification has it (runtime.md, "Query State")."""

import json

from tiffin.oci.command import Call
from tiffin.oci.flags import Flag

WORDS = "<container-id>"
FLAGS: tuple[Flag, ...] = ()


def run(call: Call) -> int:
    """Print the state."""
    print(json.dumps(call.container(call.container_id()).state(), indent=2))  # noqa: T201
    return 0
