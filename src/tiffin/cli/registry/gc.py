"""`registry gc`: collect what nothing refers to."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Flag, Values, boolean, string
from tiffin.cli.human import size
from tiffin.cli.registry.settings import FLAGS, given, load
from tiffin.errors import TiffinError

_FLAGS: list[Flag] = [
    *FLAGS,
    string("grace", "Keep what is younger than this (default 24h)"),
    boolean("untagged", "Also remove manifests that no tag leads to"),
    boolean("dry-run", "Only tell what would be removed"),
]


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Collect, by the running server if there is one."""
    del context, arguments
    over = given(values)
    gc = {key: values[key] for key in ("grace", "untagged") if values[key]}
    config = load(values, over | ({"gc": gc} if gc else {}))
    import asyncio

    from tiffin.distribution.service import collect

    try:
        found = asyncio.run(collect(config, config.retention, dry_run=values["dry-run"]))
    except (TiffinError, OSError) as error:
        raise CommandFailed(f"cannot collect garbage: {error}") from error
    verb = "Would remove" if values["dry-run"] else "Removed"
    print(
        f"{verb} {found['manifests']} manifests, {found['links']} references, "
        f"{found['blobs']} blobs, {found['uploads']} uploads, {found['repositories']} repositories"
    )
    print(f"Total reclaimed space: {size(found['bytes'])}")
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove content of a registry that nothing refers to",
    run=run,
    flags=_FLAGS,
    maximum=0,
)
