"""`tag`: one more name for an image."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import UsageError, Values
from tiffin.cli.images.pull import split_reference
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Tag the image."""
    del values
    try:
        repository, tag = split_reference(arguments[1])
    except UsageError as error:
        raise CommandFailed(
            f'Error parsing reference: "{arguments[1]}" is not a valid repository/tag: {error}'
        ) from error
    context.api.post(f"/images/{path_part(arguments[0])}/tag", {"repo": repository, "tag": tag})
    return 0


COMMAND = Command(
    synopsis="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    run=run,
    minimum=2,
    maximum=2,
)
