"""`rmi`: remove images."""

import sys

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import STRINGS, Flag, Values, boolean
from tiffin.cli.platforms import as_objects
from tiffin.client.api import ApiError, path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove each, printing what was untagged and deleted."""
    query: dict[str, object] = {"force": values["force"], "noprune": values["no-prune"]}
    if values["platform"]:
        query["platforms"] = as_objects(values["platform"])
    failed = False
    for name in arguments:
        try:
            report = context.api.delete(f"/images/{path_part(name)}", query)
        except ApiError as error:
            if error.status == 404 and values["force"]:
                print(f"Error response from daemon: {error.message}", file=sys.stderr)
                continue
            print(f"Error response from daemon: {error.message}", file=sys.stderr)
            failed = True
            continue
        for item in report or []:
            if "Deleted" in item:
                print(f"Deleted: {item['Deleted']}")
            else:
                print(f"Untagged: {item['Untagged']}")
    return int(failed)


COMMAND = Command(
    synopsis="[OPTIONS] IMAGE [IMAGE...]",
    summary="Remove one or more images",
    run=run,
    minimum=1,
    flags=[
        boolean("force", "Force removal of the image", "f"),
        boolean("no-prune", "Do not delete untagged parents"),
        Flag("platform", STRINGS, "Remove only the given platform variant, as os[/arch[/variant]]"),
    ],
)
