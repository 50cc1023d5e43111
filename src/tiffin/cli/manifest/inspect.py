"""`manifest inspect`: show a manifest, or a list, from here or from a registry."""

import base64
import json

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean
from tiffin.cli.manifest.local import Lists, parse
from tiffin.cli.manifest.remote import Found, Registry, list_document


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON as Docker's client lays it out."""
    lists = Lists(context.settings.config)
    name = parse(arguments[-1])
    found: Found
    if len(arguments) == 2:
        wanted = lists.member(parse(arguments[0]), name)
        if wanted is None:
            raise CommandFailed(f"No such manifest: {name.familiar}")
        found = wanted
    else:
        members = lists.members(name)
        found = members or Registry(context, insecure=values["insecure"]).find(name)
    if values["verbose"]:
        shown = [each.to_json() for each in found] if isinstance(found, list) else found.to_json()
        print(json.dumps(shown, indent="\t", ensure_ascii=False))
    elif isinstance(found, list):
        print(list_document(found)[1].decode())
    else:
        manifest = json.loads(base64.b64decode(found.raw))
        print(json.dumps(manifest, indent="\t", ensure_ascii=False))
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] [MANIFEST_LIST] MANIFEST",
    summary="Display an image manifest, or manifest list",
    run=run,
    minimum=1,
    maximum=2,
    flags=[
        boolean("insecure", "Allow communication with an insecure registry"),
        boolean("verbose", "Output additional info including layers and platform", "v"),
    ],
)
