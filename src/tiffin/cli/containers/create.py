"""`create`: make a container, pulling its image if need be."""

import sys
from pathlib import Path
from typing import Any

from tiffin.cli.command import Command, Context
from tiffin.cli.containers.options import FLAGS
from tiffin.cli.containers.spec import create_body
from tiffin.cli.flags import UsageError, Values
from tiffin.cli.images.pull import check_reference, pull, split_reference
from tiffin.client.api import ApiError


def create(context: Context, values: Values, arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Create the container; return its id and the request's body."""
    image = arguments[0]
    if values["pull"] not in ("always", "missing", "never"):
        raise UsageError(
            f"invalid pull option: '{values['pull']}': must be one of "
            '"always", "missing" or "never"'
        )
    body = create_body(values, image, arguments[1:])
    check_reference(image)
    if values["cidfile"] and Path(values["cidfile"]).exists():
        raise UsageError(
            "container ID file found, make sure the other container isn't running or delete "
            + values["cidfile"]
        )
    if values["pull"] == "always":
        _pull(context, values, image)
    created = _create(context, values, image, body)
    for warning in created.get("Warnings") or []:
        context.warn(warning)
    if values["cidfile"]:
        Path(values["cidfile"]).write_text(created["Id"])
    return created["Id"], body


def _create(context: Context, values: Values, image: str, body: dict[str, Any]) -> dict[str, Any]:
    query = {"name": values["name"], "platform": values["platform"]}
    try:
        created: dict[str, Any] = context.api.post("/containers/create", query, body)
        return created
    except ApiError as error:
        if error.status != 404 or values["pull"] != "missing":
            raise
    name, tag = split_reference(image)
    if not values["quiet"]:
        separator = "@" if ":" in tag else ":"
        print(f"Unable to find image '{name}{separator}{tag}' locally", file=sys.stderr, flush=True)
    _pull(context, values, image)
    return dict(context.api.post("/containers/create", query, body))


def _pull(context: Context, values: Values, image: str) -> None:
    pull(context, image, platform=values["platform"], quiet=values["quiet"], out=sys.stderr)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Create and print the id."""
    print(create(context, values, arguments)[0])
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create a new container",
    run=run,
    flags=FLAGS,
    minimum=1,
    interspersed=False,
    failure_code=125,
)
