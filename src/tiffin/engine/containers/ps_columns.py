"""The columns of ps(1), section "standard format specifiers": titles, and what they show."""

import grp
import os
import pwd
import time
from collections.abc import Callable
from datetime import datetime
from functools import cache

from tiffin.linux.processes import PAGE, Process

_DAY_S = 86400
_MEMORY = os.sysconf("SC_PHYS_PAGES") * PAGE
_CLASSES = ("TS", "FF", "RR", "B", "ISO", "IDL", "DLN")

Render = Callable[[Process], str]
Column = tuple[str, Render]


def _clock(seconds: int) -> str:
    days, rest = divmod(seconds, _DAY_S)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}-{clock}" if days else clock


def _elapsed(process: Process) -> str:
    clock = _clock(int(process.elapsed_s))
    return clock.removeprefix("00:") if len(clock) == len("00:00:00") else clock


def _short_time(process: Process) -> str:
    whole = int(process.cpu_s)
    return f"{whole // 60}:{whole % 60:02d}"


def _start(process: Process) -> str:
    started, now = time.localtime(process.started_at), time.localtime(process.now)
    if started.tm_year != now.tm_year:
        return time.strftime("%Y", started)
    same_day = started.tm_yday == now.tm_yday
    return time.strftime("%H:%M" if same_day else "%b%d", started)


def _started(process: Process) -> str:
    form = "%H:%M:%S" if process.elapsed_s < _DAY_S else "%b %d"
    return time.strftime(form, time.localtime(process.started_at))


def _long_start(process: Process) -> str:
    started = datetime.fromtimestamp(process.started_at).astimezone()
    return started.strftime("%a %b %d %H:%M:%S %Y")


def _flags_of(process: Process) -> str:
    """Return the letters after the state: priority, locked pages, leader, threads, foreground."""
    nice, group = process.number(19), process.number(5)
    return (
        ("<" if nice < 0 else "N" if nice > 0 else "")
        + ("L" if process.status.get("VmLck", "0 kB") != "0 kB" else "")
        + ("s" if process.number(6) == process.pid else "")
        + ("l" if process.number(20) > 1 else "")
        + ("+" if process.number(8) == group else "")
    )


def _memory_percent(process: Process) -> str:
    return f"{1000 * process.rss // _MEMORY / 10:.1f}"  # rounded down, as ps does


def _wait_channel(process: Process) -> str:
    found = process.read("wchan")
    return found[:6] if found not in ("", "0") else "-"


def _cgroup(process: Process) -> str:
    return ",".join(process.read("cgroup").split()) or "-"


def _label(process: Process) -> str:
    return process.read("attr/current").strip("\0\n") or "-"


def _class(process: Process) -> str:
    number = process.number(41)
    return _CLASSES[number] if number < len(_CLASSES) else "?"


def _realtime(process: Process) -> str:
    return str(process.number(40)) if process.number(41) in (1, 2) else "-"


@cache
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@cache
def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _field(number: int) -> Render:
    return lambda process: process.stat[number - 3]


def _kibibytes(number: int) -> Render:
    return lambda process: str(process.number(number) // 1024)


def _user(which: int) -> Render:
    return lambda process: _user_name(process.id_of("Uid", which))


def _group(which: int) -> Render:
    return lambda process: _group_name(process.id_of("Gid", which))


def _id(kind: str, which: int) -> Render:
    return lambda process: str(process.id_of(kind, which))


def _status(label: str) -> Render:
    return lambda process: process.status.get(label, "-")


def _pid(process: Process) -> str:
    return str(process.pid)


def _tid(process: Process) -> str:
    return str(process.tid)


def _name(process: Process) -> str:
    return process.name


def _command(process: Process) -> str:
    return process.command


def _resident(process: Process) -> str:
    return str(process.rss // 1024)


def _tty(process: Process) -> str:
    return process.tty


def _state(process: Process) -> str:
    return process.state


def _cpu_percent(process: Process) -> str:
    return f"{process.cpu_percent:.1f}"


_SAME: dict[tuple[str, ...], Column] = {
    ("pid",): ("PID", _pid),
    ("tgid",): ("TGID", _pid),
    ("ppid",): ("PPID", _field(4)),
    ("pgid",): ("PGID", _field(5)),
    ("pgrp",): ("PGRP", _field(5)),
    ("sid",): ("SID", _field(6)),
    ("sess", "session"): ("SESS", _field(6)),
    ("tpgid",): ("TPGID", _field(8)),
    ("lwp",): ("LWP", _tid),
    ("tid",): ("TID", _tid),
    ("spid",): ("SPID", _tid),
    ("nlwp",): ("NLWP", _field(20)),
    ("thcount",): ("THCNT", _field(20)),
    ("user", "uname"): ("USER", _user(1)),
    ("euser",): ("EUSER", _user(1)),
    ("ruser",): ("RUSER", _user(0)),
    ("suser",): ("SUSER", _user(2)),
    ("svuser",): ("SVUSER", _user(2)),
    ("fuser",): ("FUSER", _user(3)),
    ("uid",): ("UID", _id("Uid", 1)),
    ("euid",): ("EUID", _id("Uid", 1)),
    ("ruid",): ("RUID", _id("Uid", 0)),
    ("suid",): ("SUID", _id("Uid", 2)),
    ("svuid",): ("SVUID", _id("Uid", 2)),
    ("fuid",): ("FUID", _id("Uid", 3)),
    ("fsuid",): ("FSUID", _id("Uid", 3)),
    ("group",): ("GROUP", _group(1)),
    ("egroup",): ("EGROUP", _group(1)),
    ("rgroup",): ("RGROUP", _group(0)),
    ("gid",): ("GID", _id("Gid", 1)),
    ("egid",): ("EGID", _id("Gid", 1)),
    ("rgid",): ("RGID", _id("Gid", 0)),
    ("sgid",): ("SGID", _id("Gid", 2)),
    ("svgid",): ("SVGID", _id("Gid", 2)),
    ("fgid",): ("FGID", _id("Gid", 3)),
    ("fsgid",): ("FSGID", _id("Gid", 3)),
    ("c",): ("C", lambda p: str(min(99, int(p.cpu_percent)))),
    ("pcpu", "%cpu"): ("%CPU", _cpu_percent),
    ("pmem", "%mem"): ("%MEM", _memory_percent),
    ("stime",): ("STIME", _start),
    ("bsdstart", "start_time"): ("START", _start),
    ("start",): ("STARTED", _started),
    ("lstart",): ("STARTED", _long_start),
    ("etime",): ("ELAPSED", _elapsed),
    ("etimes",): ("ELAPSED", lambda p: str(int(p.elapsed_s))),
    ("time", "cputime"): ("TIME", lambda p: _clock(int(p.cpu_s))),
    ("times", "cputimes"): ("TIME", lambda p: str(int(p.cpu_s))),
    ("bsdtime",): ("TIME", _short_time),
    ("tname",): ("TTY", _tty),
    ("tt", "tty"): ("TT", _tty),
    ("s", "state"): ("S", _state),
    ("stat",): ("STAT", lambda p: p.state + _flags_of(p)),
    ("f", "flag", "flags"): ("F", lambda p: f"{p.number(9) >> 6 & 7:o}"),
    ("ni", "nice"): ("NI", _field(19)),
    ("pri",): ("PRI", lambda p: str(39 - p.number(18))),
    ("priority",): ("PRI", _field(18)),
    ("opri",): ("PRI", lambda p: str(p.number(18) + 60)),
    ("cls", "class"): ("CLS", _class),
    ("policy",): ("POL", _class),
    ("rtprio",): ("RTPRIO", _realtime),
    ("psr",): ("PSR", _field(39)),
    ("wchan",): ("WCHAN", _wait_channel),
    ("addr",): ("ADDR", lambda _: "-"),
    ("sz",): ("SZ", lambda p: str(p.number(23) // PAGE)),
    ("vsz", "vsize"): ("VSZ", _kibibytes(23)),
    ("rss", "rssize"): ("RSS", _resident),
    ("rsz",): ("RSZ", _resident),
    ("drs",): ("DRS", lambda p: str((p.number(23) - p.number(27) + p.number(26)) // 1024)),
    ("trs",): ("TRS", lambda p: str((p.number(27) - p.number(26)) // 1024)),
    ("min_flt",): ("MINFL", _field(10)),
    ("minflt",): ("MINFLT", _field(10)),
    ("maj_flt",): ("MAJFL", _field(12)),
    ("majflt",): ("MAJFLT", _field(12)),
    ("pending", "sig"): ("PENDING", _status("SigPnd")),
    ("blocked", "sigmask"): ("BLOCKED", _status("SigBlk")),
    ("ignored", "sigignore"): ("IGNORED", _status("SigIgn")),
    ("caught", "sigcatch"): ("CAUGHT", _status("SigCgt")),
    ("cgroup",): ("CGROUP", _cgroup),
    ("context",): ("CONTEXT", _label),
    ("label",): ("LABEL", _label),
    ("comm", "ucomm"): ("COMMAND", _name),
    ("ucmd",): ("CMD", _name),
    ("fname",): ("COMMAND", lambda p: p.name[:8]),
    ("cmd",): ("CMD", _command),
    ("args", "command"): ("COMMAND", _command),
}

COLUMNS: dict[str, Column] = {name: column for names, column in _SAME.items() for name in names}
COMMAND_LINES = (_command,)
"""Columns that the option `c` turns into the mere name, and `e` adds the environment to."""
