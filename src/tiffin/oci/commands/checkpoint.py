"""`checkpoint`: refused, honestly."""

from tiffin.errors import Unimplemented
from tiffin.oci.command import Call
from tiffin.oci.flags import FLAG, Flag

WORDS = "<container-id>"
FLAGS = (
    *(Flag(name) for name in ("image-path", "work-path", "parent-path", "status-fd", "page-server",
                              "manage-cgroups-mode", "empty-ns")),
    *(Flag(name, FLAG) for name in ("leave-running", "tcp-established", "ext-unix-sk", "shell-job",
                                    "lazy-pages", "file-locks", "pre-dump", "auto-dedup")),
)  # fmt: skip


def run(call: Call) -> int:
    """Say that it is not offered; Unimplemented."""
    raise Unimplemented(f"{call.name} is not offered: tiffin-runtime does without CRIU")
