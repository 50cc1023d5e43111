"""The command line of ps(1): which columns, which lines, in which order.

Three kinds of options go together, as in ps: `-ef`, `aux`, `--sort=-rss`. What selects processes is
accepted and means nothing, since the container's are shown anyway.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tiffin.engine.containers.ps_columns import COLUMNS, COMMAND_LINES, Column, Render
from tiffin.errors import InvalidArgument
from tiffin.linux.processes import Process

_DEFAULT = "-ef"
_SELECTING = "pqstuUgGC"
"""Letters with an argument that select processes, in the UNIX form."""
_BSD_SELECTING = "ptUq"
_UNIX = {
    "": "pid,tname,time,ucmd",
    "f": "user=UID,pid,ppid,c,stime,tname,time,cmd",
    "F": "user=UID,pid,ppid,c,sz,rss,psr,stime,tname,time,cmd",
    "l": "f,s,uid,pid,ppid,c,opri,ni,addr,sz,wchan,tname,time,ucmd",
    "lf": "f,s,user=UID,pid,ppid,c,opri,ni,addr,sz,wchan,stime,tname,time,cmd",
    "ly": "s,uid,pid,ppid,c,pri,ni,rss,sz,wchan,tname,time,ucmd",
    "j": "pid,pgid,sid,tname,time,ucmd",
    "jf": "user=UID,pid,ppid,pgid,sid,c,stime,tname,time,cmd",
}
_BSD = {
    "": "pid,tname,stat,bsdtime,args",
    "u": "user,pid,pcpu,pmem,vsz,rss,tname,stat,start_time,bsdtime,args",
    "l": "f,uid,pid,ppid,priority,ni,vsz,rss,wchan,stat,tname,bsdtime,args",
    "j": "ppid,pid,pgid,sid,tname,tpgid,stat,uid,bsdtime,args",
    "v": "pid,tname,stat,bsdtime,maj_flt,trs,drs,rss,pmem,args",
    "s": "uid,pid,pending,blocked,ignored,caught,stat,tname,bsdtime,args",
}
_LONG = {"everyone": "", "deselect": "", "no-headers": "", "headers": "", "width": "", "cols": "",
         "columns": "", "rows": "", "lines": "", "pid": "", "ppid": "", "quick-pid": "", "user": "",
         "User": "", "group": "", "Group": "", "sid": "", "tty": "", "cumulative": "",
         "forest": "tree", "format": "columns", "sort": "sort"}  # fmt: skip
_WITH_ARGUMENT = frozenset({"width", "cols", "columns", "rows", "lines", "pid", "ppid", "user",
                            "User", "group", "Group", "sid", "tty", "quick-pid", "format",
                            "sort"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """What to show."""

    columns: tuple[Column, ...]
    sort: tuple[tuple[str, bool], ...] = ()
    """Names of columns and whether downwards, the first decides first."""
    tree: bool = False
    threads: bool = False
    names_only: bool = False
    environment: bool = False


@dataclass(slots=True)
class _Parsed:
    unix: set[str] = field(default_factory=set)
    bsd: set[str] = field(default_factory=set)
    is_bsd: bool = False
    columns: list[Column] = field(default_factory=list)
    extra: list[Column] = field(default_factory=list)
    sort: list[tuple[str, bool]] = field(default_factory=list)
    tree: bool = False


def parse(arguments: str) -> Listing:
    """Parse a command line of ps; InvalidArgument in the words of ps."""
    words = arguments.split() or [_DEFAULT]
    parsed = _Parsed()
    position = 0
    while position < len(words):
        rest = words[position + 1 :]
        taken = _word(parsed, words[position], rest)
        position += 1 + taken
    listing = Listing(
        columns=tuple(_layout(parsed)),
        sort=tuple(parsed.sort),
        tree=parsed.tree or "f" in parsed.bsd or "H" in parsed.unix,
        threads=bool({"L", "T", "m"} & parsed.unix or "H" in parsed.bsd),
        names_only="c" in parsed.bsd,
        environment="e" in parsed.bsd,
    )
    if all(title != "PID" for title, _ in listing.columns):
        raise InvalidArgument("Couldn't find PID field in ps output")
    return listing


def _word(parsed: _Parsed, word: str, rest: Sequence[str]) -> int:
    """Take one word, and return how many of those that follow are its arguments."""
    if word.startswith("--"):
        return _long(parsed, word[2:], rest)
    if word.startswith("-") and len(word) > 1:
        return _letters(parsed, word[1:], rest, unix=True)
    parsed.is_bsd = True
    if word.isdigit():
        return 0  # a process id
    return _letters(parsed, word, rest, unix=False)


def _long(parsed: _Parsed, word: str, rest: Sequence[str]) -> int:
    name, has_value, value = word.partition("=")
    if name not in _LONG:
        raise InvalidArgument("ps: error: unknown gnu long option")
    taken = 0
    if name in _WITH_ARGUMENT and not has_value:
        value, taken = _argument(rest, f"--{name}"), 1
    match _LONG[name]:
        case "columns":
            parsed.columns += columns(value)
        case "sort":
            parsed.sort += _sort_keys(value)
        case "tree":
            parsed.tree = True
    return taken


def _letters(parsed: _Parsed, letters: str, rest: Sequence[str], *, unix: bool) -> int:
    known = "aAdefFHjlLmMNPrTwxyZcV" if unix else "arxgTuljsvfceSwhmH"
    for index, letter in enumerate(letters):
        taking = letter in ("oO" + _SELECTING if unix else "oOk" + _BSD_SELECTING)
        if not taking:
            if letter not in known or letter == "V":
                raise InvalidArgument(
                    f"ps: error: unsupported {'SysV option' if unix else 'option (BSD syntax)'}"
                )
            (parsed.unix if unix else parsed.bsd).add(letter)
            continue
        value = letters[index + 1 :]
        taken = 0
        if not value:
            value, taken = _argument(rest, f"-{letter}"), 1
        if letter == "o":
            parsed.columns += columns(value)
        elif letter == "O":
            parsed.extra += columns(value)
        elif letter == "k":
            parsed.sort += _sort_keys(value)
        return taken
    return 0


def _argument(rest: Sequence[str], option: str) -> str:
    if not rest:
        raise InvalidArgument(f"ps: error: option {option} needs an argument")
    return rest[0]


def columns(text: str) -> list[Column]:
    """Return the columns of a list such as `pid,comm=NAME`; InvalidArgument."""
    found = []
    items = [item for item in text.split(",") if item]
    for item in items:
        name, has_title, title = item.partition("=")
        if title.startswith("PID") and name != "pid":
            raise InvalidArgument(f'specifying "{name}={title}" is not allowed')
        column = _column(name)
        found.append((title if has_title and title else column[0], column[1]))
    return found


def _column(name: str) -> Column:
    found = COLUMNS.get(name.lower())
    if found is None:
        raise InvalidArgument(f'ps: error: unknown user-defined format specifier "{name}"')
    return found


def _sort_keys(text: str) -> list[tuple[str, bool]]:
    keys = []
    for item in filter(None, text.split(",")):
        name = item.lstrip("+-").lower()
        if name not in COLUMNS:
            raise InvalidArgument("ps: error: unknown sort specifier")
        keys.append((name, item.startswith("-")))
    return keys


def _layout(parsed: _Parsed) -> list[Column]:
    if parsed.columns:
        return parsed.columns
    if parsed.extra:
        return [COLUMNS["pid"], *parsed.extra, *columns("s,tname,time,args")]
    unix = parsed.unix
    if not parsed.is_bsd or unix & set("fFlj"):
        text = _UNIX[_unix_layout(unix)]
        if "L" in unix:
            text = text.replace("ppid,", "ppid,lwp,") if "ppid" in text else f"pid,lwp,{text[4:]}"
            text = text.replace(",c,", ",c,nlwp,")
        elif "T" in unix:
            text = text.replace("pid,", "pid,spid,", 1)
        if "P" in unix:
            text = text.replace("tname", "psr,tname")
    else:
        text = _BSD[next((letter for letter in "uljvs" if letter in parsed.bsd), "")]
    if unix & {"M", "Z"}:
        text = f"label,{text}"
    return columns(text)


def _unix_layout(letters: set[str]) -> str:
    if "l" in letters:
        return "ly" if "y" in letters else "lf" if letters & {"f", "F"} else "l"
    if "j" in letters:
        return "jf" if letters & {"f", "F"} else "j"
    return next((letter for letter in "Ff" if letter in letters), "")


def table(listing: Listing, processes: Sequence[Process]) -> list[list[str]]:
    """Return the lines, cell by cell; runs of blanks are one blank, as clients know it."""
    ordered = [(process, 0) for process in processes]
    for name, downwards in reversed(listing.sort):
        key = _sort_value(COLUMNS[name][1])
        ordered.sort(key=lambda item, key=key: key(item[0]), reverse=downwards)  # type: ignore[misc]
    if listing.tree and not listing.threads:
        ordered = _as_tree([process for process, _ in ordered])
    return [
        [" ".join(_cell(listing, render, *item).split()) for _, render in listing.columns]
        for item in ordered
    ]


def _cell(listing: Listing, render: Render, process: Process, depth: int) -> str:
    if render not in COMMAND_LINES:
        return render(process)
    text = process.name if listing.names_only else render(process)
    if listing.environment:
        text = f"{text} {process.read('environ').replace(chr(0), ' ')}"
    return f"\\_ {text}" if depth else text


def _sort_value(render: Render) -> Callable[[Process], tuple[float, str]]:
    def value(process: Process) -> tuple[float, str]:
        text = render(process)
        try:
            return float(text), ""
        except ValueError:
            return 0.0, text

    return value


def _as_tree(processes: Sequence[Process]) -> list[tuple[Process, int]]:
    """Return each process after its parent, with its depth."""
    present = {process.pid for process in processes}
    children: dict[int, list[Process]] = {}
    roots = []
    for process in processes:
        parent = process.number(4)
        if parent in present:
            children.setdefault(parent, []).append(process)
        else:
            roots.append(process)
    ordered: list[tuple[Process, int]] = []
    pending = [(process, 0) for process in reversed(roots)]
    while pending:
        process, depth = pending.pop()
        ordered.append((process, depth))
        pending += [(child, depth + 1) for child in reversed(children.get(process.pid, []))]
    return ordered
