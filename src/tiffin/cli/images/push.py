"""`push`: upload an image."""

from tiffin.cli import progress
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.credentials import encode, lookup, registry_of
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.images.pull import canonical, split_reference
from tiffin.cli.platforms import as_object
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Push one tag, or all."""
    image = arguments[0]
    name, tag = split_reference(image)
    has_tag = ":" in image.rpartition("/")[2]
    if values["all-tags"] and has_tag:
        raise CommandFailed("tag can't be used with --all-tags/-a")
    if not has_tag and not values["all-tags"] and not values["quiet"]:
        print("Using default tag: latest", flush=True)
    query = {"tag": "" if values["all-tags"] else tag, "platform": as_object(values["platform"])}
    # The API wants the header even when there is nothing to say.
    auth = encode(lookup(context.config_file, registry_of(image)))
    response = context.api.call(
        "POST", f"/images/{path_part(name)}/push", query, headers={"X-Registry-Auth": auth}
    )
    if values["quiet"]:
        for message in response.objects():
            if "error" in message:
                raise CommandFailed(message["error"])
        print(canonical(name, tag))
        return 0
    progress.show(response.objects())
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] NAME[:TAG]",
    summary="Upload an image to a registry",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        boolean("all-tags", "Push all tags of an image to the repository", "a"),
        boolean("disable-content-trust", "Skip image signing", default=True),
        string("platform", "Push a platform-specific manifest as a single-platform image"),
        boolean("quiet", "Suppress verbose output", "q"),
    ],
)
