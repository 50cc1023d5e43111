"""`image undo-rm`: bring removed images back."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values
from tiffin.cli.system.undo import show_restored


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Restore the images named, or those that were removed last."""
    del values
    query = {"kind": ["image", "image-name"]}
    if not arguments:
        return show_restored(context.api.post("/trash/restore", query))
    codes = [
        show_restored(context.api.post("/trash/restore", {**query, "name": name}))
        for name in arguments
    ]
    return max(codes)


COMMAND = Command(
    synopsis="[IMAGE...]",
    summary="Bring back images that were removed",
    run=run,
)
