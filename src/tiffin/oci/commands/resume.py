"""`resume`: let the processes of a paused container go on."""

from tiffin.errors import FailedPrecondition
from tiffin.oci.command import Call
from tiffin.oci.container import PAUSED
from tiffin.oci.flags import Flag

WORDS = "<container-id>"
FLAGS: tuple[Flag, ...] = ()


def run(call: Call) -> int:
    """Thaw them."""
    container = call.container(call.container_id())
    if container.status() != PAUSED:
        raise FailedPrecondition("container not paused")
    container.group.thaw()
    return 0
