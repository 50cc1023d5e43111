"""`pause`: freeze all processes of a container."""

from tiffin.errors import FailedPrecondition
from tiffin.oci.command import Call
from tiffin.oci.container import CREATED, RUNNING
from tiffin.oci.flags import Flag

WORDS = "<container-id>"
FLAGS: tuple[Flag, ...] = ()


def run(call: Call) -> int:
    """Freeze them."""
    container = call.container(call.container_id())
    if container.status() not in (RUNNING, CREATED):
        raise FailedPrecondition("container not running")
    container.group.freeze()
    return 0
