"""`history`: the layers of an image and what made them."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.platforms import as_object
from tiffin.cli.table import Row, print_rows
from tiffin.client.api import path_part

DEFAULT = "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
QUIET = "{{.ID}}"
HEADERS = {
    "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
    "Size": "SIZE", "Comment": "COMMENT",
}  # fmt: skip
CREATED_BY_WIDTH = 45


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print the newest layer first."""
    query = {"platform": as_object(values["platform"])}
    layers = context.api.get(f"/images/{path_part(arguments[0])}/history", query)
    truncate, human_readable = not values["no-trunc"], values["human"]

    def row(layer: dict[str, object]) -> Row:
        created, size = float(str(layer["Created"])), int(str(layer["Size"]))
        command = str(layer["CreatedBy"]).replace("\t", " ")
        if truncate and len(command) > CREATED_BY_WIDTH:
            command = command[: CREATED_BY_WIDTH - 1] + "…"
        stamp = human.iso_time(created)
        return Row(
            {
                "ID": human.short_id(str(layer["Id"])) if truncate else layer["Id"],
                "CreatedSince": human.ago(created) if human_readable else stamp,
                "CreatedAt": stamp,
                "CreatedBy": command,
                "Size": human.size(size, 3) if human_readable else str(size),
                "Comment": layer["Comment"],
            }
        )

    print_rows(
        (row(layer) for layer in layers),
        format_text=values["format"] or (QUIET if values["quiet"] else ""),
        default=DEFAULT,
        headers=HEADERS if human_readable else {**HEADERS, "CreatedSince": "CREATED AT"},
    )
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] IMAGE",
    summary="Show the history of an image",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        string("format", "Format output using a custom template"),
        boolean("human", "Print sizes and dates in human readable format", "H", default=True),
        boolean("no-trunc", "Don't truncate output"),
        string(
            "platform", 'Show history for the given platform. Formatted as "os[/arch[/variant]]"'
        ),
        boolean("quiet", "Only show image IDs", "q"),
    ],
)
