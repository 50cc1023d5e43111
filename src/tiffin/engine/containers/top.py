"""`docker top`: the container's processes, as ps would list them, read from /proc (proc(5))."""

import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from tiffin.api.types.containers import TopResponse
from tiffin.engine.bundle.namespaces import cgroups_path
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument
from tiffin.linux.cgroups.hierarchy import open_group

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_DAY_S = 86400
_USER_LAYOUT = (
    "user=USER,pid,pcpu=%CPU,pmem=%MEM,vsz,rss,tty,stat,bsdstart=START,bsdtime=TIME,args=COMMAND"
)


@dataclass(frozen=True, slots=True)
class Process:
    """The facts of one process; times in seconds, sizes in bytes."""

    pid: int
    ppid: int
    uid: int
    gid: int
    state: str
    tty: str
    cpu_s: float
    started_at: float
    now: float
    nice: int
    priority: int
    threads: int
    pgid: int
    sid: int
    vsize: int
    rss: int
    memory_total: int
    name: str
    command: str

    @property
    def elapsed_s(self) -> float:
        """Seconds since its start."""
        return max(0.0, self.now - self.started_at)

    @property
    def cpu_percent(self) -> float:
        """Share of one processor over its whole life."""
        return 100 * self.cpu_s / self.elapsed_s if self.elapsed_s else 0.0


def top(context: Context, container: Container, arguments: str) -> TopResponse:
    """List the processes. Blocking; Conflict unless it runs, InvalidArgument for the arguments."""
    if container.status is Status.RESTARTING:
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if not container.alive:
        raise Conflict(f"container {container.id} is not running")
    columns = parse_arguments(arguments)
    group = open_group(
        cgroups_path(container.id, context.roots.tag, container.spec.host.cgroup_parent)
    )
    processes = [found for pid in sorted(group.pids()) if (found := read_process(pid)) is not None]
    if not processes:
        raise FailedPrecondition(f"no processes of container {container.id} were found")
    return TopResponse(
        titles=[title for title, _ in columns],
        processes=[[render(process) for _, render in columns] for process in processes],
    )


Column = tuple[str, Callable[[Process], str]]


def parse_arguments(arguments: str) -> list[Column]:
    """Return the columns of a ps command line: `-ef` (the default), `aux`, `-o pid,cmd`, …."""
    words = arguments.split() or ["-ef"]
    chosen: list[Column] = []
    named = ""
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        option = word.lstrip("-")
        if option in ("o", "eo", "axo", "Ao", "format", "O"):
            if index == len(words):
                raise InvalidArgument("ps: option -o needs a list of columns")
            chosen += _columns(words[index])
            index += 1
        elif word.startswith(("-o", "--format=")):
            chosen += _columns(word.removeprefix("--format=").removeprefix("-o"))
        elif not option or set(option) - set("aAdefFlxuwjT"):
            raise InvalidArgument(f"ps: unsupported option: {word}")
        else:
            named = word
    if chosen:
        return chosen
    return _columns(_layout(named))


def _layout(word: str) -> str:
    letters = word.lstrip("-")
    if "u" in letters and not word.startswith("-"):
        return _USER_LAYOUT
    if "l" in letters:
        return "s,uid,pid,ppid,c,pri,ni,vsz=SZ,tty,time,comm=CMD"
    if "f" in letters.lower():
        return "user=UID,pid,ppid,c,stime,tty,time,cmd"
    if "j" in letters:
        return "pid,pgid,sid,tty,time,comm=CMD"
    return "pid,tty,time,comm=CMD" if word.startswith("-") else "pid,tty,stat,time,args=COMMAND"


def _columns(text: str) -> list[Column]:
    columns = []
    for item in filter(None, text.split(",")):
        name, _, title = item.partition("=")
        found = _KNOWN.get(name.lower())
        if found is None:
            raise InvalidArgument(f'ps: error: unknown user-defined format specifier "{name}"')
        columns.append((title or found[0], found[1]))
    return columns


def _time(process: Process) -> str:
    whole = int(process.cpu_s)
    days, rest = divmod(whole, _DAY_S)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


def _elapsed(process: Process) -> str:
    whole = int(process.elapsed_s)
    days, rest = divmod(whole, _DAY_S)
    hours, minutes, seconds = rest // 3600, rest // 60 % 60, rest % 60
    if days:
        return f"{days}-{hours:02d}:{minutes:02d}:{seconds:02d}"
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"


def _start(process: Process) -> str:
    started = datetime.fromtimestamp(process.started_at).astimezone()
    return started.strftime("%H:%M" if process.elapsed_s < _DAY_S else "%b%d")


def _memory_percent(process: Process) -> str:
    return f"{100 * process.rss / process.memory_total:.1f}" if process.memory_total else "0.0"


@cache
def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


_KNOWN: dict[str, Column] = {
    "pid": ("PID", lambda p: str(p.pid)),
    "ppid": ("PPID", lambda p: str(p.ppid)),
    "pgid": ("PGID", lambda p: str(p.pgid)),
    "pgrp": ("PGRP", lambda p: str(p.pgid)),
    "sid": ("SID", lambda p: str(p.sid)),
    "sess": ("SESS", lambda p: str(p.sid)),
    "uid": ("UID", lambda p: str(p.uid)),
    "gid": ("GID", lambda p: str(p.gid)),
    "user": ("USER", lambda p: _user(p.uid)),
    "euser": ("EUSER", lambda p: _user(p.uid)),
    "c": ("C", lambda p: str(min(99, int(p.cpu_percent)))),
    "pcpu": ("%CPU", lambda p: f"{p.cpu_percent:.1f}"),
    "%cpu": ("%CPU", lambda p: f"{p.cpu_percent:.1f}"),
    "pmem": ("%MEM", _memory_percent),
    "%mem": ("%MEM", _memory_percent),
    "stime": ("STIME", _start),
    "start": ("STARTED", _start),
    "bsdstart": ("START", _start),
    "lstart": (
        "STARTED",
        lambda p: (
            datetime.fromtimestamp(p.started_at).astimezone().strftime("%a %b %d %H:%M:%S %Y")
        ),
    ),
    "etime": ("ELAPSED", _elapsed),
    "etimes": ("ELAPSED", lambda p: str(int(p.elapsed_s))),
    "time": ("TIME", _time),
    "cputime": ("TIME", _time),
    "bsdtime": ("TIME", lambda p: f"{int(p.cpu_s) // 60}:{int(p.cpu_s) % 60:02d}"),
    "tty": ("TTY", lambda p: p.tty),
    "tt": ("TT", lambda p: p.tty),
    "tname": ("TTY", lambda p: p.tty),
    "s": ("S", lambda p: p.state),
    "state": ("S", lambda p: p.state),
    "stat": ("STAT", lambda p: p.state + ("s" if p.pid == p.sid else "")),
    "ni": ("NI", lambda p: str(p.nice)),
    "nice": ("NI", lambda p: str(p.nice)),
    "pri": ("PRI", lambda p: str(39 - p.priority)),
    "nlwp": ("NLWP", lambda p: str(p.threads)),
    "thcount": ("THCNT", lambda p: str(p.threads)),
    "vsz": ("VSZ", lambda p: str(p.vsize // 1024)),
    "vsize": ("VSZ", lambda p: str(p.vsize // 1024)),
    "rss": ("RSS", lambda p: str(p.rss // 1024)),
    "rssize": ("RSS", lambda p: str(p.rss // 1024)),
    "comm": ("COMMAND", lambda p: p.name),
    "ucmd": ("CMD", lambda p: p.name),
    "cmd": ("CMD", lambda p: p.command),
    "args": ("COMMAND", lambda p: p.command),
    "command": ("COMMAND", lambda p: p.command),
}


def read_process(pid: int) -> Process | None:
    """Read one process from /proc, None if it has ended meanwhile."""
    try:
        stat, status = _read(pid, "stat"), _read(pid, "status")
        command = _read(pid, "cmdline").rstrip("\0").replace("\0", " ")
    except OSError:
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    # fields[n] is field n + 3 of proc_pid_stat(5).
    now = time.time()
    boot = now - time.clock_gettime(time.CLOCK_BOOTTIME)
    return Process(
        pid=pid,
        ppid=int(fields[1]),
        uid=_second(status, "Uid:"),
        gid=_second(status, "Gid:"),
        state=fields[0],
        tty=_tty(int(fields[4])),
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS,
        started_at=boot + int(fields[19]) / _TICKS,
        now=now,
        nice=int(fields[16]),
        priority=int(fields[15]),
        threads=int(fields[17]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        vsize=int(fields[20]),
        rss=int(fields[21]) * _PAGE,
        memory_total=os.sysconf("SC_PHYS_PAGES") * _PAGE,
        name=name,
        command=command or f"[{name}]",
    )


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read().decode(errors="replace")


def _second(status: str, label: str) -> int:
    """Return the effective id of a `Uid:` or `Gid:` line."""
    line = next(line for line in status.splitlines() if line.startswith(label))
    return int(line.split()[2])


def _tty(device: int) -> str:
    if not device:
        return "?"
    major, minor = (device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00)
    if 136 <= major <= 143:
        return f"pts/{minor + (major - 136) * 256}"
    return f"tty{minor}" if major == 4 else "?"
