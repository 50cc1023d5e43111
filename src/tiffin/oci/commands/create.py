"""`create`: make a container from a bundle, up to its program."""

from tiffin.oci import creation
from tiffin.oci.command import Call

WORDS = "<container-id>"
FLAGS = creation.FLAGS


def run(call: Call) -> int:
    """Make it."""
    with creation.make(call, detached=True, gated=True):
        return 0
