"""`import`: an image from the tar archive of a filesystem."""

from tiffin.cli import progress
from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, listing, string
from tiffin.cli.images.pull import split_reference
from tiffin.cli.input_file import blocks, open_input


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Send the archive, or let the daemon fetch a URL."""
    source = arguments[0]
    repository, tag = split_reference(arguments[1]) if len(arguments) > 1 else ("", "")
    is_url = source.startswith(("http://", "https://"))
    query = {
        "fromSrc": source if is_url else "-", "repo": repository, "tag": tag,
        "message": values["message"], "changes": values["change"], "platform": values["platform"],
    }  # fmt: skip
    if is_url:
        progress.show(context.api.call("POST", "/images/create", query).objects())
        return 0
    with open_input(source) as archive:
        response = context.api.call(
            "POST", "/images/create", query, stream=blocks(archive),
            headers={"Content-Type": "application/x-tar"},
        )  # fmt: skip
        progress.show(response.objects())
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    summary="Import the contents from a tarball to create a filesystem image",
    run=run,
    minimum=1,
    flags=[
        listing("change", "Apply Dockerfile instruction to the created image", "c"),
        string("message", "Set commit message for imported image", "m"),
        string("platform", "Set platform if server is multi-platform capable"),
    ],
)
