"""`manifest push`: bring a list, and the manifests that it names, to a repository."""

import base64

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean
from tiffin.cli.manifest.local import Lists, Member, parse
from tiffin.cli.manifest.remote import Registry, list_document
from tiffin.spec.digest import parse_digest
from tiffin.spec.reference import Reference


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Mount the blobs, put the manifests, the list last; print its digest."""
    name = parse(arguments[0])
    lists = Lists(context.settings.config)
    members = lists.members(name)
    if not members:
        raise CommandFailed(f"No such manifest: {name.familiar}")
    for member in members:
        if not (member.platform.get("os") and member.platform.get("architecture")):
            raise CommandFailed(
                f"manifest {member.ref} must have an OS and Architecture to be pushed to a registry"
            )
    registry = Registry(context, insecure=values["insecure"])
    for member in members:
        _push_member(registry, name, member)
    print(registry.put(name, *list_document(members)))
    if values["purge"]:
        lists.remove(name)
    return 0


def _push_member(registry: Registry, name: Reference, member: Member) -> None:
    source = parse(member.ref)
    if source.domain != name.domain:
        raise CommandFailed(
            f"cannot use source images from a different registry than the target image: "
            f"{source.domain} != {name.domain}"
        )
    if source.path != name.path:
        for blob in (member.manifest["config"], *member.manifest.get("layers", [])):
            if not blob.get("urls"):
                registry.mount(name, blob["digest"], source)
    target = name.with_digest(parse_digest(member.descriptor["digest"]))
    digest = registry.put(target, member.descriptor["mediaType"], base64.b64decode(member.raw))
    print(f"Pushed ref {target} with digest: {digest}", flush=True)


COMMAND = Command(
    synopsis="[OPTIONS] MANIFEST_LIST",
    summary="Push a manifest list to a repository",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        boolean("insecure", "Allow push to an insecure registry"),
        boolean("purge", "Remove the local manifest list after push", "p"),
    ],
)
