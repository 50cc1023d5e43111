"""`commit`: an image of a container's changes."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean, listing, string
from tiffin.cli.images.pull import split_reference


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Commit and print the image's id."""
    repository, tag = split_reference(arguments[1]) if len(arguments) > 1 else ("", "")
    has_tag = len(arguments) > 1 and ":" in arguments[1].rpartition("/")[2]
    query = {
        "container": arguments[0], "repo": repository, "tag": tag if has_tag else "",
        "comment": values["message"], "author": values["author"],
        "pause": "1" if values["pause"] else "0", "changes": values["change"],
    }  # fmt: skip
    print(context.api.post("/commit", query, {})["Id"])
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    summary="Create a new image from a container's changes",
    run=run,
    minimum=1,
    maximum=2,
    flags=[
        string("author", 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")', "a"),
        listing("change", "Apply Dockerfile instruction to the created image", "c"),
        string("message", "Commit message", "m"),
        boolean("pause", "Pause container during commit", "p", default=True),
    ],
)
