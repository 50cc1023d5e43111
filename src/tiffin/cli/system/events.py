"""`events`: what happens in the daemon, as it happens."""

import datetime as dt
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, listing, string
from tiffin.cli.timestamps import unix_time
from tiffin.wire.gotypes import GoMap
from tiffin.wire.template import Template
from tiffin.wire.template_error import TemplateError
from tiffin.wire.template_functions import to_json


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print events until interrupted, or until `--until`."""
    del arguments
    try:
        template = Template(values["format"]) if values["format"] not in ("", "json") else None
    except TemplateError as error:
        raise CommandFailed(f"Error parsing format: {error}", 64) from error
    try:
        since, until = unix_time(values["since"]), unix_time(values["until"])
    except ValueError as error:
        raise CommandFailed(str(error)) from error
    query = {"since": since, "until": until, "filters": parse_filters(values["filter"])}
    for event in context.api.call("GET", "/events", query).objects():
        if template is not None:
            try:
                print(template.render(_fields(event)), flush=True)
            except TemplateError as error:
                raise CommandFailed(f"Error parsing format: {error}", 64) from error
        elif values["format"] == "json":
            print(to_json(event), flush=True)
        else:
            print(_line(event), flush=True)
    return 0


def _fields(event: dict[str, Any]) -> dict[str, Any]:
    """Return the event under the names that templates use."""
    legacy = {"Status": "status", "ID": "id", "From": "from"}
    numbers = {"Time": "time", "TimeNano": "timeNano", "Scope": "scope"}
    fields = {name: event.get(key, "") for name, key in {**legacy, **numbers}.items()}
    actor = event["Actor"]
    attributes = GoMap(actor.get("Attributes") or {})
    return {**fields, "Type": event["Type"], "Action": event["Action"],
            "Actor": {"ID": actor["ID"], "Attributes": attributes}}  # fmt: skip


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
