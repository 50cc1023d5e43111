"""`system prune`: remove everything that is not used."""

from collections.abc import Iterator
from typing import Any

from tiffin.cli import pruning
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask once, then prune noun by noun."""
    del arguments
    filters = parse_filters(values["filter"])
    if values["volumes"] and "until" in filters:
        raise CommandFailed('ERROR: The "until" filter is not supported with "--volumes"')
    pruning.ask(values, *_warning(values))
    reclaimed = 0
    gone: list[str] = []
    for path, title, member, more in _steps(values, filters):
        report = pruning.prune(context, values, path, {"filters": more}, gone)
        reclaimed += report.get("SpaceReclaimed", 0)
        deleted = report.get(member) or []
        if member == "ContainersDeleted":
            gone = deleted
        pruning.show(values, title, deleted)
    pruning.show_total(values, reclaimed)
    return 0


def _steps(values: Values, filters: dict[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    dangling = {"dangling": {"false" if values["all"] else "true": True}}
    steps = [
        ("/containers/prune", "Deleted Containers:", "ContainersDeleted", filters),
        ("/networks/prune", "Deleted Networks:", "NetworksDeleted", filters),
    ]
    if values["volumes"]:
        steps.append(("/volumes/prune", "Deleted Volumes:", "VolumesDeleted", filters))
    steps.append(("/images/prune", "Deleted Images:", "ImagesDeleted", {**filters, **dangling}))
    steps.append(("/build/prune", "Deleted build cache objects:", "CachesDeleted", filters))
    return steps


def _warning(values: Values) -> Iterator[str]:
    yield "WARNING! This will remove:"
    yield "  - all stopped containers"
    yield "  - all networks not used by at least one container"
    if values["volumes"]:
        yield "  - all anonymous volumes not used by at least one container"
    if values["all"]:
        yield "  - all images without at least one container associated to them"
        yield "  - all build cache"
    else:
        yield "  - all dangling images"
        yield "  - unused build cache"
    yield ""
    if values["filter"]:
        yield "  Items to be pruned will be filtered with:"
        yield from (f"  - {text}" for text in values["filter"])
        yield ""


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove unused data",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused images not just dangling ones", "a"),
        pruning.DRY_RUN,
        listing("filter", 'Provide filter values (e.g. "label=<key>=<value>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
        boolean("volumes", "Prune anonymous volumes"),
    ],
)
