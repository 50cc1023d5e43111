"""What /proc tells of a process or thread (proc_pid_stat(5), proc_pid_status(5))."""

import os
import time
from dataclasses import dataclass
from functools import cached_property

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
_TTY_MAJOR, _PTS_MAJORS = 4, range(136, 144)


@dataclass(frozen=True)
class Process:
    """The facts of one thread, the first of its process if `tid` is `pid`.

    Times in seconds, sizes in bytes. `stat` has the fields of its file after the name, so that
    field n of proc_pid_stat(5) is `stat[n - 3]`.
    """

    pid: int
    tid: int
    name: str
    stat: tuple[str, ...]
    status: dict[str, str]
    command: str
    """The command line, or the name in brackets."""
    now: float

    def number(self, field: int) -> int:
        """Return a numeric field of proc_pid_stat(5)."""
        return int(self.stat[field - 3])

    def id_of(self, kind: str, which: int) -> int:
        """Return an id of `Uid` or `Gid`: 0 the real one, 1 effective, 2 saved, 3 file system."""
        return int(self.status[kind].split()[which])

    @property
    def state(self) -> str:
        """One letter."""
        return self.stat[0]

    @property
    def cpu_s(self) -> float:
        """User and system time."""
        return (self.number(14) + self.number(15)) / TICKS

    @cached_property
    def started_at(self) -> float:
        """Unix time of its start."""
        return self.now - time.clock_gettime(time.CLOCK_BOOTTIME) + self.number(22) / TICKS

    @property
    def elapsed_s(self) -> float:
        """Seconds since its start."""
        return max(0.0, self.now - self.started_at)

    @property
    def cpu_percent(self) -> float:
        """Share of one processor over its whole life."""
        return 100 * self.cpu_s / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def tty(self) -> str:
        """Name of its terminal, `?` for none."""
        device = self.number(7)
        major, minor = (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
        if major in _PTS_MAJORS:
            return f"pts/{minor + (major - _PTS_MAJORS.start) * 256}"
        return f"tty{minor}" if major == _TTY_MAJOR else "?"

    @property
    def rss(self) -> int:
        """Resident memory."""
        return self.number(24) * PAGE

    def read(self, name: str) -> str:
        """Return another of its files, "" if it has ended or may not be looked at."""
        try:
            return _read(f"/proc/{self.pid}/{name}")
        except OSError:
            return ""


def read_process(pid: int, tid: int = 0) -> Process | None:
    """Read a process, or one of its threads; None if it has ended meanwhile."""
    place = f"/proc/{pid}/task/{tid}" if tid else f"/proc/{pid}"
    try:
        stat, status = _read(f"{place}/stat"), _read(f"{place}/status")
        command = _read(f"/proc/{pid}/cmdline").rstrip("\0").replace("\0", " ")
    except OSError:
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    lines = (line.partition(":") for line in status.splitlines())
    return Process(
        pid=pid,
        tid=tid or pid,
        name=name,
        stat=tuple(stat[stat.rindex(")") + 2 :].split()),
        status={label: value.strip() for label, _, value in lines},
        command=command or f"[{name}]",
        now=time.time(),
    )


def threads(pid: int) -> list[int]:
    """Return the thread ids of a process, none if it has ended."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return []


def _read(path: str) -> str:
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")
