"""`volume create`: make a volume."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import MAP, Values, listing, string
from tiffin.cli.parse_env import key_values, labels


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Create and print the name."""
    if arguments and values["name"]:
        raise CommandFailed(
            "conflicting options: cannot specify a volume name through both --name and as a positional "
            "arg"
        )
    body = {
        "Name": arguments[0] if arguments else values["name"],
        "Driver": values["driver"],
        "DriverOpts": key_values(values["opt"]),
        "Labels": labels(values["label"], []),
    }
    print(context.api.post("/volumes/create", None, body)["Name"])
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] [VOLUME]",
    summary="Create a volume",
    run=run,
    maximum=1,
    flags=[
        string("driver", "Specify volume driver name", "d", "local"),
        listing("label", "Set metadata for a volume"),
        string("name", "Specify volume name")._replace(hidden=True),
        listing("opt", "Set driver specific options", "o", MAP),
    ],
)
