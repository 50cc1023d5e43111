"""`system prune`: remove everything that is not used."""

from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.each import confirm
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask once, then prune noun by noun."""
    del arguments
    filters = parse_filters(values["filter"])
    if values["volumes"] and "until" in filters:
        raise CommandFailed('ERROR: The "until" filter is not supported with "--volumes"')
    if not values["force"]:
        _warn(everything=values["all"], volumes=values["volumes"])
        if values["filter"]:
            print("  Items to be pruned will be filtered with:")
            print(*(f"  - {text}" for text in values["filter"]), "", sep="\n")
        confirm("Are you sure you want to continue?")
    reclaimed = 0
    for path, title, member, more in _steps(values, filters):
        report = context.api.post(path, {"filters": more})
        reclaimed += report.get("SpaceReclaimed", 0)
        _report(title, report.get(member) or [])
    print(f"Total reclaimed space: {human.size(reclaimed)}")
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


def _report(title: str, deleted: list[Any]) -> None:
    if not deleted:
        return
    print(title)
    for item in deleted:
        if isinstance(item, dict):
            kind = "deleted" if "Deleted" in item else "untagged"
            print(f"{kind}: {item.get('Deleted') or item.get('Untagged')}")
        else:
            print(item)
    print()


def _warn(*, everything: bool, volumes: bool) -> None:
    print("WARNING! This will remove:")
    print("  - all stopped containers")
    print("  - all networks not used by at least one container")
    if volumes:
        print("  - all anonymous volumes not used by at least one container")
    if everything:
        print("  - all images without at least one container associated to them")
        print("  - all build cache")
    else:
        print("  - all dangling images")
        print("  - unused build cache")
    print()


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove unused data",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused images not just dangling ones", "a"),
        listing("filter", 'Provide filter values (e.g. "label=<key>=<value>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
        boolean("volumes", "Prune anonymous volumes"),
    ],
)
