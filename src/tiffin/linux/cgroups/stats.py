r"""The raw figures of a group, in one shape for v1 and v2 (counters in bytes and nanoseconds).

    {"version": 1 | 2,
     "read_ns": Unix time,
     "memory": {"usage", "max_usage", "limit", "swap_usage", "failcnt", "oom_kills": int,
                "stats": {the kernel's memory.stat: name: int}},
     "cpu": {"total_ns", "user_ns", "kernel_ns", "periods", "throttled_periods",
             "throttled_ns": int, "percpu_ns": [int]},
     "pids": {"current", "limit": int},
     "blkio": {"io_service_bytes_recursive" | "io_serviced_recursive":
               [{"major", "minor": int, "op": "Read" | "Write" | …, "value": int}]}}

A limit of 0 means none (`memory.limit` too); `percpu_ns` is empty in v2. What a kernel does not
offer is 0 or empty. Operations have the kernel's names, `read` and `write` in v2. What is to be
subtracted from usage, as Docker's clients do, is `memory.stats["total_inactive_file"]` in v1 and
`["inactive_file"]` in v2.
"""

from typing import Any

from tiffin.linux.cgroups.group import read

UNLIMITED = 1 << 62
"""v1 says "no limit" by a huge number of pages."""


def text(path: str) -> str:
    """Return a file's text, "" if the kernel does not have it."""
    try:
        return read(path).strip()
    except (FileNotFoundError, OSError):
        return ""


def integer(path: str) -> int:
    """Return a file's number; 0 for none, `max` or a v1 number that stands for it."""
    value = text(path)
    number = int(value) if value.lstrip("-").isdigit() else 0
    return 0 if number >= UNLIMITED or number < 0 else number


def table(path: str) -> dict[str, int]:
    """Return a file of `name value` lines."""
    found: dict[str, int] = {}
    for line in text(path).splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdigit():
            found[name] = int(value)
    return found


def io_entries(content: str) -> list[dict[str, Any]]:
    """Parse v1's `8:0 Read 4096` lines; totals without a device are left out."""
    entries = []
    for line in content.splitlines():
        parts = line.split()
        if len(parts) == 3 and ":" in parts[0]:
            entries.append(_entry(parts[0], parts[1], int(parts[2])))
    return entries


def io_stat(content: str, fields: dict[str, str]) -> list[dict[str, Any]]:
    """Parse v2's `8:0 rbytes=1 wbytes=2 …` lines; `fields` maps their names to operations."""
    entries = []
    for line in content.splitlines():
        device, *pairs = line.split()
        for pair in pairs:
            name, _, value = pair.partition("=")
            if name in fields and ":" in device:
                entries.append(_entry(device, fields[name], int(value)))
    return entries


def _entry(device: str, operation: str, value: int) -> dict[str, Any]:
    major, _, minor = device.partition(":")
    return {"major": int(major), "minor": int(minor), "op": operation, "value": value}
