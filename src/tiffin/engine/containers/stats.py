"""Resource use, in the shape of `GET /containers/{id}/stats`."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container, now_ns
from tiffin.engine.containers.times import ZERO_TIME, rfc3339
from tiffin.errors import Conflict, NotFound

JsonObject = dict[str, Any]

INTERVAL_S = 1.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


async def stream(
    context: Context, container: Container, *, follow: bool, one_shot: bool
) -> AsyncIterator[JsonObject]:
    """Yield one set of figures, or one each second until the client goes or the removal.

    Without `one_shot` a single one has figures of a second before, so that a rate can be told.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + INTERVAL_S
    before: JsonObject | None = None
    if not follow and not one_shot and container.alive:
        before = await sample(container, None)
        await _pause(container, due - loop.time())
    while True:
        figures = await sample(container, before)
        yield figures
        if not follow:
            return
        before = figures
        await _pause(container, due - loop.time())
        if container.id not in context.registry:
            return
        # A client that was slow to read is not sent a burst afterwards.
        due = max(due, loop.time()) + INTERVAL_S


async def _pause(container: Container, seconds: float) -> None:
    await asyncio.wait([container.removal()], timeout=max(0.0, seconds))


async def sample(container: Container, before: JsonObject | None) -> JsonObject:
    """Return present figures; those of a container that does not run are empty, as Docker's."""
    handle = container.handle
    empty = _frame(container, before)
    if handle is None or not container.alive:
        return empty
    try:
        raw = await handle.stats()
    except (Conflict, NotFound):
        return empty  # it has ended meanwhile
    system_ns, cpus, networks = await asyncio.to_thread(_surroundings, container)
    return {
        **empty,
        "read": rfc3339(raw.get("read_ns") or now_ns()),
        "pids_stats": _pids(raw.get("pids") or {}),
        "num_procs": 0,
        "cpu_stats": _cpu(raw.get("cpu") or {}, system_ns, cpus),
        "memory_stats": _memory(raw.get("memory") or {}),
        "blkio_stats": _block_io(raw.get("blkio") or {}),
        **({"networks": networks} if networks else {}),
    }


def _frame(container: Container, before: JsonObject | None) -> JsonObject:
    return {
        "name": f"/{container.name}",
        "id": container.id,
        "read": rfc3339(now_ns()) if container.alive else ZERO_TIME,
        "preread": before["read"] if before else ZERO_TIME,
        "pids_stats": {},
        "blkio_stats": _block_io({}),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": _no_cpu(),
        "precpu_stats": before["cpu_stats"] if before else _no_cpu(),
        "memory_stats": {},
    }


def _no_cpu() -> JsonObject:
    return {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def _pids(raw: JsonObject) -> JsonObject:
    out = {"current": raw.get("current", 0)}
    if raw.get("limit"):
        out["limit"] = raw["limit"]
    return out


def _cpu(raw: JsonObject, system_ns: int, cpus: int) -> JsonObject:
    usage: JsonObject = {
        "total_usage": raw.get("total_ns", 0),
        "usage_in_kernelmode": raw.get("kernel_ns", 0),
        "usage_in_usermode": raw.get("user_ns", 0),
    }
    if raw.get("percpu_ns"):
        usage["percpu_usage"] = raw["percpu_ns"]
    return {
        "cpu_usage": usage,
        "system_cpu_usage": system_ns,
        "online_cpus": cpus,
        "throttling_data": {
            "periods": raw.get("periods", 0),
            "throttled_periods": raw.get("throttled_periods", 0),
            "throttled_time": raw.get("throttled_ns", 0),
        },
    }


def _memory(raw: JsonObject) -> JsonObject:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    out: JsonObject = {
        "usage": raw.get("usage", 0),
        "stats": raw.get("stats") or {},
        "limit": min(raw.get("limit") or total, total),
    }
    if raw.get("max_usage"):
        out["max_usage"] = raw["max_usage"]
    if raw.get("failcnt"):
        out["failcnt"] = raw["failcnt"]
    return out


def _block_io(raw: JsonObject) -> JsonObject:
    names = (
        "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive",
        "io_service_time_recursive", "io_wait_time_recursive", "io_merged_recursive",
        "io_time_recursive", "sectors_recursive",
    )  # fmt: skip
    return {name: raw.get(name) or None for name in names}


def _surroundings(container: Container) -> tuple[int, int, JsonObject]:
    """Return the machine's processor time and processors, and what the network carried."""
    # What the host's interfaces carry is not the container's.
    own = container.spec.host.network_mode != "host"
    return *_system_cpu(), network_figures(container.instance.pid) if own else {}


def _system_cpu() -> tuple[int, int]:
    """Return the whole machine's processor time in ns, and its number of processors."""
    with open("/proc/stat", encoding="ascii") as file:
        lines = file.read().splitlines()
    ticks = sum(int(field) for field in lines[0].split()[1:8])
    count = sum(1 for line in lines[1:] if line.startswith("cpu"))
    return ticks * _TICK_NS, count


def network_figures(pid: int) -> JsonObject:
    """Return counters by interface of a process's network namespace, without loopback."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    out = {}
    for line in lines:
        name, _, counters = line.partition(":")
        values = [int(value) for value in counters.split()]
        if name.strip() != "lo" and len(values) >= 12:
            out[name.strip()] = {
                "rx_bytes": values[0], "rx_packets": values[1], "rx_errors": values[2],
                "rx_dropped": values[3], "tx_bytes": values[8], "tx_packets": values[9],
                "tx_errors": values[10], "tx_dropped": values[11],
            }  # fmt: skip
    return out
