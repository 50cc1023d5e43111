"""`inspect`: look an object up whatever its kind."""

from collections.abc import Callable
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.inspecting import inspect
from tiffin.client.api import Api, ApiError, path_part

PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "plugin": "/plugins/{}/json",
}


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON, or a template per object."""
    kind = values["type"]
    if kind and kind not in PATHS:
        raise CommandFailed(f'unknown type: "{kind}": must be one of "container", "image", "network", '
                            '"plugin", "volume"')  # fmt: skip
    kinds = [kind] if kind else list(PATHS)
    lookup = _lookup(context.api, kinds, size=values["size"])
    return inspect(arguments, lookup, values["format"])


def _lookup(api: Api, kinds: list[str], *, size: bool) -> Callable[[str], Any]:
    def lookup(name: str) -> Any:  # noqa: ANN401
        for kind in kinds:
            query = {"size": size} if kind == "container" else None
            try:
                return api.get(PATHS[kind].format(path_part(name)), query)
            except ApiError as error:
                if error.status not in (400, 404, 501) or len(kinds) == 1:
                    raise
        raise CommandFailed(f"Error: No such object: {name}")

    return lookup


COMMAND = Command(
    synopsis="[OPTIONS] NAME|ID [NAME|ID...]",
    summary="Return low-level information on Docker objects",
    run=run,
    minimum=1,
    flags=[
        string("format", "Format output using a custom template", "f"),
        boolean("size", 'Display total file sizes if the type is "container"', "s"),
        string("type", "Only inspect objects of the given type"),
    ],
)
