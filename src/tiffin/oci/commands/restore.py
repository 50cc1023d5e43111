"""`restore`: refused, honestly."""

from tiffin.oci.commands import checkpoint
from tiffin.oci.flags import FLAG, Flag

WORDS = "<container-id>"
FLAGS = (
    *checkpoint.FLAGS,
    Flag("bundle", short="b"),
    Flag("console-socket"),
    Flag("pid-file"),
    *(Flag(name, FLAG) for name in ("no-subreaper", "no-pivot")),
    Flag("detach", FLAG, "d"),
)
run = checkpoint.run
