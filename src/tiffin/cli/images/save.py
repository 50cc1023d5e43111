"""`save`: images as an archive."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import STRINGS, Flag, Values, string
from tiffin.cli.output_file import check_destination, write_stream
from tiffin.cli.platforms import as_objects


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Write one archive of all images."""
    check_destination(values["output"], "save image")
    query = {"names": arguments, "platform": as_objects(values["platform"])}
    write_stream(context.api.call("GET", "/images/get", query).blocks(), values["output"])
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] IMAGE [IMAGE...]",
    summary="Save one or more images to a tar archive (streamed to STDOUT by default)",
    run=run,
    minimum=1,
    flags=[
        string("output", "Write to a file, instead of STDOUT", "o"),
        Flag("platform", STRINGS, "Save only these platform variants, as os[/arch[/variant]]"),
    ],
)
