"""`system df`: where the space is."""

from collections.abc import Sequence
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.table import Row, align, print_rows

DEFAULT = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}"
HEADERS = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
           "Reclaimable": "RECLAIMABLE"}  # fmt: skip

Usage = dict[str, Any]


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print totals, or every object with `--verbose`."""
    del arguments
    usage: Usage = context.api.get("/system/df", {"disk": values["verbose"]})
    if values["verbose"]:
        if values["format"]:
            raise CommandFailed("the verbose and the format options conflict")
        _print_all(usage)
        return 0
    rows = [_images(usage), _containers(usage), _volumes(usage), _cache(usage)]
    print_rows(rows, format_text=values["format"], default=DEFAULT, headers=HEADERS)
    return 0


def _row(kind: str, total: int, active: int, size: int, free: int) -> Row:
    share = f" ({free * 100 // size}%)" if size > 0 else ""
    return Row(
        {
            "Type": kind,
            "TotalCount": str(total),
            "Active": str(active),
            "Size": human.size(size, 4),
            "Reclaimable": f"{human.size(free, 4)}{share}",
        }
    )


def _images(usage: Usage) -> Row:
    images = usage.get("Images") or []
    active = [image for image in images if image.get("Containers", 0) > 0]
    size = usage.get("LayersSize", 0)
    used = sum(image["Size"] - max(image.get("SharedSize", 0), 0) for image in active)
    return _row("Images", len(images), len(active), size, max(size - used, 0) if images else 0)


def _containers(usage: Usage) -> Row:
    containers = usage.get("Containers") or []
    active = [c for c in containers if c["State"] in ("running", "paused", "restarting")]
    size = sum(c.get("SizeRw", 0) for c in containers)
    return _row("Containers", len(containers), len(active), size,
                size - sum(c.get("SizeRw", 0) for c in active))  # fmt: skip


def _volumes(usage: Usage) -> Row:
    volumes = [v for v in usage.get("Volumes") or [] if v.get("UsageData")]
    active = [v for v in volumes if v["UsageData"]["RefCount"] > 0]
    size = sum(max(v["UsageData"]["Size"], 0) for v in volumes)
    used = sum(max(v["UsageData"]["Size"], 0) for v in active)
    return _row("Local Volumes", len(volumes), len(active), size, size - used)


def _cache(usage: Usage) -> Row:
    records = usage.get("BuildCache") or []
    active = [record for record in records if record["InUse"]]
    size = sum(record["Size"] for record in records if not record["Shared"])
    free = sum(r["Size"] for r in records if not r["InUse"] and not r["Shared"])
    return _row("Build Cache", len(records), len(active), size, free)


def _print_all(usage: Usage) -> None:
    print("Images space usage:\n")
    rows = [["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE",
             "CONTAINERS"]]  # fmt: skip
    for image in usage.get("Images") or []:
        for name in (image.get("RepoTags") or ["<none>:<none>"])[:1]:
            repository, _, tag = name.rpartition(":")
            shared = max(image.get("SharedSize", 0), 0)
            rows.append([
                repository, tag, human.short_id(image["Id"]), human.ago(image["Created"]),
                human.size(image["Size"], 3), human.size(shared),
                human.size(image["Size"] - shared), str(image.get("Containers", 0)),
            ])  # fmt: skip
    _table(rows)
    print("\nContainers space usage:\n")
    rows = [
        ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"]
    ]
    for item in usage.get("Containers") or []:
        mounts = [m for m in item.get("Mounts") or [] if m.get("Type") == "volume"]
        rows.append([
            human.short_id(item["Id"]), item["Image"], f'"{_shortened(item["Command"])}"', str(len(mounts)),
            human.size(item.get("SizeRw", 0), 3), human.ago(item["Created"]), item["Status"],
            ",".join(name.removeprefix("/") for name in item["Names"]),
        ])  # fmt: skip
    _table(rows)
    print("\nLocal Volumes space usage:\n")
    rows = [["VOLUME NAME", "LINKS", "SIZE"]]
    for volume in usage.get("Volumes") or []:
        data = volume.get("UsageData") or {"RefCount": 0, "Size": 0}
        rows.append([volume["Name"], str(data["RefCount"]), human.size(max(data["Size"], 0), 3)])
    _table(rows)
    records = usage.get("BuildCache") or []
    total = sum(record["Size"] for record in records if not record["Shared"])
    print(f"\nBuild cache usage: {human.size(total, 3)}\n")
    rows = [["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"]]
    for record in records:
        used = human.parse_time(record.get("LastUsedAt") or "")
        rows.append([
            record["ID"][:12], record["Type"], human.size(record["Size"], 3),
            human.ago(human.parse_time(record["CreatedAt"])), human.ago(used) if used else "",
            str(record["UsageCount"]), str(record["Shared"]).lower(),
        ])  # fmt: skip
    _table(rows)
    _print_disk(usage.get("Disk") or {})


def _print_disk(disk: dict[str, int]) -> None:
    """Print where every byte of the data root is; engines other than ours do not tell."""
    if not disk:
        return
    print("\nDisk usage:\n")
    rows = [["WHAT", "ON DISK"], *([name, human.size(size)] for name, size in disk.items())]
    _table([*rows, ["Total", human.size(sum(disk.values()))]])


def _shortened(command: str) -> str:
    return command if len(command) <= 20 else command[:19] + "…"


def _table(rows: Sequence[Sequence[str]]) -> None:
    for line in align(rows):
        print(line)


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Show disk usage",
    run=run,
    maximum=0,
    flags=[
        string("format", "Format output using a custom template"),
        boolean("verbose", "Show detailed information on space usage", "v"),
    ],
)
