"""What a process costs that does nothing but hold a container: ways to make it, measured.

A parent that has loaded what the spawner loads forks COUNT children of each kind and prints, per
child: PSS, pages of its own, page tables, and how long making one took. docs/experiments/
supervisor-memory.md tells what came out. Needs no root: `python benchmarks/keepers.py`.
"""

import ctypes
import gc
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

COUNT = 50
_MFD_CLOEXEC = 1
PR_SET_THP_DISABLE = 41

libc = ctypes.CDLL(None, use_errno=True)


def tiny_elf() -> bytes:
    """Return a static x86-64 program: it waits for its standard input by poll(2), and ends."""
    code = bytes.fromhex(
        "6a00"  # push 0                struct pollfd on the stack: fd 0, …
        "c744240401000000"  # mov dword [rsp+4], 1  … events POLLIN
        "4889e7"  # mov rdi, rsp
        "be01000000"  # mov esi, 1
        "48c7c2ffffffff"  # mov rdx, -1
        "b807000000"  # mov eax, 7  (poll)
        "0f05"  # syscall
        "31ff"  # xor edi, edi
        "b83c000000"  # mov eax, 60 (exit)
        "0f05"  # syscall
    )
    base, head = 0x400000, 64 + 56
    size = head + len(code)
    elf = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, base + head, 64, 0, 0,
                      64, 56, 1, 0, 0, 0)  # fmt: skip
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return elf + program + code


def memfd(name: str, data: bytes) -> str:
    """Return the path of an anonymous executable file."""
    fd = os.memfd_create(name, _MFD_CLOEXEC)
    os.write(fd, data)
    return f"/proc/{os.getpid()}/fd/{fd}"


def wait_by_pause() -> None:
    signal.pause()


def wait_by_poll() -> None:
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.poll()


def wait_after_work() -> None:
    """As a shim that has made its task: it has touched what it used."""
    list(sys.modules.values())
    gc.unfreeze()
    gc.collect()
    wait_by_poll()


def wait_in_c() -> None:
    """No line of Python runs while it waits, and none before but this one."""
    libc.pause()


def wait_without_huge_pages() -> None:
    libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    libc.pause()


def wait_unmapped() -> None:
    """Give back what can be given back without losing the interpreter: the free ends of the heap."""
    libc.malloc_trim(0)
    libc.pause()


def figures(pid: int) -> dict[str, int]:
    """Return KB: PSS, private pages, page tables."""
    found: dict[str, int] = {}
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text() + Path(f"/proc/{pid}/status").read_text()
    for line in rollup.splitlines():
        name, _, value = line.partition(":")
        if value.strip().endswith("kB"):
            found[name] = int(value.split()[0])
    return found


def measure(name: str, wait: Callable[[], None]) -> None:
    reading, writing = os.pipe()
    start = time.perf_counter()
    pids: list[int] = []
    for _ in range(COUNT):
        pid = os.fork()
        if pid == 0:
            try:
                os.close(writing)
                os.dup2(reading, 0)
                wait()
            finally:
                os._exit(0)
        pids.append(pid)
    took_ms = (time.perf_counter() - start) * 1e3 / COUNT
    time.sleep(1.0)
    every = [figures(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)

    def mean(*keys: str) -> float:
        return sum(found.get(key, 0) for found in every for key in keys) / COUNT

    print(f"{name:<52} {mean('Pss'):8.0f} {mean('Private_Dirty', 'Private_Clean'):8.0f}"
          f" {mean('VmPTE'):8.0f} {took_ms:8.2f}")  # fmt: skip


def main() -> None:
    from tiffin.shim.lean import defer

    defer("inspect")
    import tiffin.runtime.own  # to be as big as the spawner
    import tiffin.shim.spawner  # noqa: F401

    gc.collect()
    gc.freeze()
    gc.disable()
    tiny = memfd("tiny", tiny_elf())
    busybox = Path("/bin/busybox")
    print(
        f"{'KB per process, mean of ' + str(COUNT):<52} {'PSS':>8} {'private':>8} {'tables':>8} {'ms':>8}"
    )
    measure("forked Python, waits in poll()", wait_by_poll)
    measure("forked Python, waits in C", wait_in_c)
    measure("the same, malloc_trim", wait_unmapped)
    measure("the same, no huge pages (PR_SET_THP_DISABLE)", wait_without_huge_pages)
    measure("forked Python that has worked", wait_after_work)
    measure(f"executes {len(tiny_elf())} bytes of ELF", lambda: os.execv(tiny, ["tiffin-keeper"]))
    if busybox.exists():
        measure("executes static busybox", lambda: os.execv(busybox, ["sleep", "1000"]))
    measure("executes dynamic sleep", lambda: os.execv("/bin/sleep", ["sleep", "1000"]))
    measure("executes Python -I -S", lambda: os.execv(
        sys.executable, ["python", "-ISc", "import signal; signal.pause()"]))  # fmt: skip


if __name__ == "__main__":
    main()
