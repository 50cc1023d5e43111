"""`manifest create`: begin a list of the manifests of images."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean
from tiffin.cli.manifest.local import Lists, parse
from tiffin.cli.manifest.remote import Registry


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Look every image up and write the list down."""
    name, manifests = parse(arguments[0]), [parse(text) for text in arguments[1:]]
    lists = Lists(context.settings.config)
    if lists.members(name) and not values["amend"]:
        raise CommandFailed("refusing to amend an existing manifest list with no --amend flag")
    registry = Registry(context, insecure=values["insecure"])
    for manifest in manifests:
        found = lists.member(name, manifest) or registry.find(manifest)
        if isinstance(found, list):
            raise CommandFailed(f"{manifest} is a manifest list")
        lists.put(name, manifest, found)
    print(f"Created manifest list {name}")
    return 0


COMMAND = Command(
    synopsis="MANIFEST_LIST MANIFEST [MANIFEST...]",
    summary="Create a local manifest list for annotating and pushing to a registry",
    run=run,
    minimum=2,
    flags=[
        boolean("amend", "Amend an existing manifest list", "a"),
        boolean("insecure", "Allow communication with an insecure registry"),
    ],
)
