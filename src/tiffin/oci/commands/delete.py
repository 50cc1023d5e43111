"""`delete`: remove what a container has left; with `--force` also end it."""

from tiffin.errors import FailedPrecondition, NotFound
from tiffin.oci.command import Call
from tiffin.oci.container import CREATED, STOPPED
from tiffin.oci.flags import FLAG, Flag

WORDS = "<container-id>"
FLAGS = (Flag("force", FLAG, "f", "forcibly delete the container if it is still running"),)


def run(call: Call) -> int:
    """Remove it."""
    container_id, is_forced = call.container_id(), call.parsed.has("force")
    try:
        container = call.container(container_id)
    except NotFound:
        if not is_forced:
            raise
        call.store.remove(container_id)  # a creation that was killed
        return 0
    status = container.status()
    if status != STOPPED:
        if status != CREATED and not is_forced:
            raise FailedPrecondition(
                f"cannot delete container {container_id} that is not stopped: {status}"
            )
        container.kill()
    container.destroy(call.log)
    return 0
