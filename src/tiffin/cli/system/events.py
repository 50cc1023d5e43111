"""`events`: what happens in the daemon, as it happens."""

import datetime as dt
from typing import Any

from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, listing, string
from tiffin.cli.template import Template, to_json


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print events until interrupted, or until `--until`."""
    del arguments
    query = {"since": values["since"], "until": values["until"],
             "filters": parse_filters(values["filter"])}  # fmt: skip
    template = Template(values["format"]) if values["format"] not in ("", "json") else None
    for event in context.api.call("GET", "/events", query).objects():
        if template is not None:
            print(template.render(event), flush=True)
        elif values["format"] == "json":
            print(to_json(event), flush=True)
        else:
            print(_line(event), flush=True)
    return 0


def _line(event: dict[str, Any]) -> str:
    seconds, nanoseconds = divmod(event["timeNano"], 10**9)
    moment = dt.datetime.fromtimestamp(seconds).astimezone()
    zone = moment.strftime("%z")
    stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone[:3]}:{zone[3:]}"
    actor = event["Actor"]
    attributes = ", ".join(
        f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items())
    )
    text = f"{stamp} {event['Type']} {event['Action']} {actor['ID']}"
    return f"{text} ({attributes})" if attributes else text


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Get real time events from the server",
    run=run,
    maximum=0,
    flags=[
        listing("filter", "Filter output based on conditions provided", "f", FILTER),
        string("format", "Format output using a custom template"),
        string("since", "Show all events created since timestamp"),
        string("until", "Stream events until this timestamp"),
    ],
)
