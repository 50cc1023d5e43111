"""`run`: make a container, start it, and stay until it ends unless `--detach`."""

import signal

from tiffin.linux.syscalls import PR_SET_CHILD_SUBREAPER, prctl
from tiffin.oci import creation
from tiffin.oci.command import Call
from tiffin.oci.container import Container
from tiffin.oci.flags import FLAG, Flag
from tiffin.oci.foreground import Foreground

WORDS = "<container-id>"
FLAGS = (
    *creation.FLAGS,
    Flag("detach", FLAG, "d", "detach from the container's process"),
    Flag("no-subreaper", FLAG, help="do not adopt the container's orphans"),
    Flag("keep", FLAG, help="do not delete the container after it exits"),
)


def run(call: Call) -> int:
    """Run it; return its exit code."""
    detached = call.parsed.has("detach")
    if not (detached or call.parsed.has("no-subreaper")):
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    with Foreground() as foreground:
        with creation.make(call, detached=detached, gated=False) as made:
            made.task.start()
        if detached:
            return 0
        try:
            code = foreground.attend(made.task.init)
        except BaseException:
            made.task.kill(signal.SIGKILL)
            raise
    if not call.parsed.has("keep"):
        container = Container(call.store, made.record)
        container.kill()
        container.destroy(call.log)
    return code
