"""What all prune commands have in common."""

from collections.abc import Iterable
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Context
from tiffin.cli.each import confirm
from tiffin.cli.flags import Values, boolean

DRY_RUN = boolean("dry-run", "Show what would be removed, and remove nothing")
"""Our own flag: the engine works it out without touching anything."""


def ask(
    values: Values, *warning: str, question: str = "Are you sure you want to continue?"
) -> None:
    """Warn and ask, unless forced or nothing is going to be removed."""
    if values["force"] or values["dry-run"]:
        return
    for line in warning:
        print(line)
    confirm(question)


def prune(
    context: Context, values: Values, path: str, query: dict[str, Any], gone: Iterable[str] = ()
) -> dict[str, Any]:
    """Prune one noun, or only ask what that would remove if the containers `gone` were gone."""
    report: dict[str, Any]
    if values["dry-run"]:
        report = context.api.post(path, {**query, "dry-run": True}, {"Gone": list(gone)})
    else:
        report = context.api.post(path, query)
    return report


def show(values: Values, title: str, deleted: Iterable[Any]) -> None:
    """Print what was removed below a title such as `Deleted Images:`, or what would be."""
    lines = [_line(item) for item in deleted]
    if lines:
        if values["dry-run"]:
            title = "Would delete " + title.partition(" ")[2].lower()
        print(title, *lines, "", sep="\n")


def show_total(values: Values, reclaimed: int) -> None:
    """Print how much space that gives."""
    word = "reclaimable" if values["dry-run"] else "reclaimed"
    print(f"Total {word} space: {human.size(reclaimed)}")


def _line(item: Any) -> str:  # noqa: ANN401  # JSON
    if not isinstance(item, dict):
        return str(item)
    kind = "deleted" if "Deleted" in item else "untagged"
    return f"{kind}: {item.get('Deleted') or item.get('Untagged')}"
