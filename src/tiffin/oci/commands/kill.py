"""`kill`: send a signal to the first process, or to all."""

import os
import signal

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux import pidfd
from tiffin.oci.command import Call
from tiffin.oci.container import STOPPED
from tiffin.oci.flags import FLAG, Flag

WORDS = "<container-id> [signal]"
FLAGS = (Flag("all", FLAG, "a", "send the signal to all processes inside the container"),)


def run(call: Call) -> int:
    """Send it."""
    call.expect(1, 2)
    number = parse_signal(call.parsed.words[1] if len(call.parsed.words) > 1 else "SIGTERM")
    container = call.container()
    group = container.group
    if call.parsed.has("all"):
        group.signal(number)
        return 0
    if container.status() == STOPPED:
        if number == signal.SIGKILL and not _has_own_processes(call) and group.pids():
            group.kill()  # the first of them has ended, others go on
            return 0
        raise FailedPrecondition("container not running")
    descriptor = container.open()
    try:
        pidfd.send_signal(descriptor, number)
    finally:
        os.close(descriptor)
    if number == signal.SIGKILL:
        if not _has_own_processes(call):
            group.signal(number)  # nobody else takes the others along
        group.thaw()  # a process in a frozen v1 group would not die
    return 0


def parse_signal(text: str) -> signal.Signals | int:
    """Return the signal of a name (with or without SIG) or a number; InvalidArgument."""
    if text.isdecimal():
        if 0 <= int(text) < signal.NSIG:
            return int(text)
    else:
        name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
        if name in signal.Signals.__members__:
            return signal.Signals[name]
    raise InvalidArgument(f'unknown signal "{text}"')


def _has_own_processes(call: Call) -> bool:
    """Tell whether the kernel ends the other processes with the first."""
    document = call.store.config(call.parsed.words[0])
    namespaces = (document.get("linux") or {}).get("namespaces") or []
    return any(item.get("type") == "pid" and not item.get("path") for item in namespaces)
