"""`pull`: download an image."""

import sys
from typing import Any

from tiffin.cli import progress
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.credentials import registry_auth
from tiffin.cli.flags import UsageError, Values, boolean, string
from tiffin.errors import InvalidArgument
from tiffin.spec.reference import as_image_id, parse_reference


def check_reference(image: str) -> None:
    """Raise UsageError, with Docker's reason, for what is not the name of an image."""
    if as_image_id(image):
        return
    try:
        parse_reference(image)
    except InvalidArgument as error:
        raise UsageError(str(error)) from error


def split_reference(image: str) -> tuple[str, str]:
    """Return repository and tag (or digest) of an image's name; `latest` when there is none.

    UsageError if it is not a name.
    """
    check_reference(image)
    if "@" in image:
        name, _, digest = image.partition("@")
        return name, digest
    head, slash, last = image.rpartition("/")
    name, colon, tag = last.partition(":")
    return f"{head}{slash}{name}", tag if colon else "latest"


def pull(context: Context, image: str, *, platform: str = "", everything: bool = False,
         quiet: bool = False, out: Any = None) -> None:  # noqa: ANN401  # fmt: skip
    """Pull `image`, showing progress on `out`."""
    name, tag = split_reference(image)
    query = {"fromImage": name, "tag": "" if everything else tag, "platform": platform}
    headers = registry_auth(context, image)
    response = context.api.call("POST", "/images/create", query, headers=headers)
    if not quiet:
        progress.show(response.objects(), out or sys.stdout)
        return
    for message in response.objects():
        if "error" in message:
            raise CommandFailed(message["error"])


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Pull and print the image's full name, as Docker does."""
    image = arguments[0]
    name, tag = split_reference(image)
    if values["all-tags"] and (":" in image.rpartition("/")[2] or "@" in image):
        raise CommandFailed("tag can't be used with --all-tags/-a")
    has_tag = ":" in image.rpartition("/")[2] or "@" in image
    if not has_tag and not values["all-tags"] and not values["quiet"]:
        print("Using default tag: latest", flush=True)
    if values["all-platforms"] and values["platform"]:
        raise UsageError("conflicting options: --platform and --all-platforms")
    platform = "all" if values["all-platforms"] else values["platform"]
    pull(context, image, platform=platform, everything=values["all-tags"], quiet=values["quiet"])
    print(canonical(name, "" if values["all-tags"] else tag))
    return 0


def canonical(name: str, tag: str) -> str:
    """Return the name with its registry, as Docker prints after a pull."""
    first, slash, _ = name.partition("/")
    has_domain = slash and ("." in first or ":" in first or first == "localhost")
    if not has_domain:
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    separator = "@" if ":" in tag else ":"
    return f"{name}{separator}{tag}" if tag else name


COMMAND = Command(
    synopsis="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="Download an image from a registry",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        boolean("all-platforms", "Download what the image has for all platforms"),
        boolean("all-tags", "Download all tagged images in the repository", "a"),
        boolean("disable-content-trust", "Skip image verification", default=True),
        string("platform", "Set platform if server is multi-platform capable"),
        boolean("quiet", "Suppress verbose output", "q"),
    ],
)
