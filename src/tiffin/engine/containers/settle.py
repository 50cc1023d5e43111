"""Signals for a program that has only just been started.

The kernel drops a signal to the first process of a PID namespace that has no handler for it
(pid_namespaces(7)). A program that was executed a moment ago may be about to install one; it gets
the time that slower engines give it by being slow.
"""

import asyncio
import signal as signals
import time

from tiffin.engine.containers.model import Container

_LOOK_EVERY_S = 0.005


async def until_heard(container: Container, number: int, settling_s: float) -> None:
    """Wait until the program has decided about a signal, or is `settling_s` old."""
    if number in (signals.SIGKILL, signals.SIGSTOP) or container.spec.host.pid_mode:
        return
    end_ns = container.instance.started_ns + int(settling_s * 1e9)
    while time.time_ns() < end_ns and container.alive:
        if has_decided(container.instance.pid, number):
            return
        await asyncio.sleep(_LOOK_EVERY_S)


def has_decided(pid: int, number: int) -> bool:
    """Tell whether a process catches, ignores or blocks a signal, or is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return True
    masks = (int(line.partition(":")[2], 16) for line in lines if line.startswith("Sig")
             and line.partition(":")[0] in ("SigBlk", "SigIgn", "SigCgt"))  # fmt: skip
    return any(mask >> (number - 1) & 1 for mask in masks)
