"""`stats`: what containers use, live."""

import sys
import threading
import time
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.table import Row, print_rows
from tiffin.client.api import Api, ApiError, path_part

DEFAULT = (
    "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}"
    "\t{{.PIDs}}"
)
HEADERS = {"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %",
           "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %", "NetIO": "NET I/O",
           "BlockIO": "BLOCK I/O", "PIDs": "PIDS"}  # fmt: skip
CLEAR = "\x1b[2J\x1b[H"

Stats = dict[str, Any]


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print one table, or go on printing until interrupted."""
    api = context.api
    chosen = values["format"] or context.config_file.get("statsFormat", "")
    while True:
        names = arguments or _names(api, everything=values["all"])
        found = _collect(api, names)
        if not values["no-stream"] and sys.stdout.isatty():
            sys.stdout.write(CLEAR)
        rows = (_row(name, stats, values["no-trunc"]) for name, stats in found)
        print_rows(rows, format_text=chosen, default=DEFAULT, headers=HEADERS)
        sys.stdout.flush()
        if values["no-stream"]:
            return 0
        if not names:
            time.sleep(1)


def _names(api: Api, *, everything: bool) -> list[str]:
    return [item["Id"] for item in api.get("/containers/json", {"all": everything})]


def _collect(api: Api, names: list[str]) -> list[tuple[str, Stats]]:
    """Ask for all at once: each answer takes a second, as two readings are compared."""
    found: dict[str, Stats] = {}
    faults: list[ApiError] = []

    def ask(name: str) -> None:
        try:
            found[name] = api.get(f"/containers/{path_part(name)}/stats", {"stream": "0"})
        except ApiError as error:
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return [(name, found[name]) for name in names]


def _row(name: str, stats: Stats, no_truncation: bool) -> Row:
    memory = stats.get("memory_stats") or {}
    limit = memory.get("limit", 0)
    used = _used(memory)
    networks = (stats.get("networks") or {}).values()
    received = sum(net["rx_bytes"] for net in networks)
    sent = sum(net["tx_bytes"] for net in networks)
    read, written = _block_io(stats)
    identifier = stats.get("id", name)
    return Row(
        {
            "Container": name,
            "ID": identifier if no_truncation else human.short_id(identifier),
            "Name": stats.get("name", "").removeprefix("/"),
            "CPUPerc": f"{_cpu_percent(stats):.2f}%",
            "MemUsage": f"{human.binary_size(used)} / {human.binary_size(limit)}",
            "MemPerc": f"{used / limit * 100 if limit else 0:.2f}%",
            "NetIO": f"{human.size(received, 3)} / {human.size(sent, 3)}",
            "BlockIO": f"{human.size(read, 3)} / {human.size(written, 3)}",
            "PIDs": str((stats.get("pids_stats") or {}).get("current", 0)),
        }
    )


def _used(memory: Stats) -> int:
    """Memory without the page cache that can be dropped, as Docker shows it."""
    details = memory.get("stats") or {}
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    usage = int(memory.get("usage", 0))
    return usage - inactive if inactive < usage else usage


def _cpu_percent(stats: Stats) -> float:
    now, before = stats.get("cpu_stats") or {}, stats.get("precpu_stats") or {}
    if not now or not before:
        return 0.0
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    system = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    processors = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or []) or 1
    return float(used / system * processors * 100) if system > 0 and used > 0 else 0.0


def _block_io(stats: Stats) -> tuple[int, int]:
    entries = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    totals = {"read": 0, "write": 0}
    for entry in entries:
        kind = entry["op"].lower()
        if kind in totals:
            totals[kind] += entry["value"]
    return totals["read"], totals["write"]


COMMAND = Command(
    synopsis="[OPTIONS] [CONTAINER...]",
    summary="Display a live stream of container(s) resource usage statistics",
    run=run,
    flags=[
        boolean("all", "Show all containers (default shows just running)", "a"),
        string("format", "Format output using a custom template"),
        boolean("no-stream", "Disable streaming stats and only pull the first result"),
        boolean("no-trunc", "Do not truncate output"),
    ],
)
