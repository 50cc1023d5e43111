"""`docker top`: options of ps, and what its columns show."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.engine.containers import ps_options
from tiffin.engine.containers.ps_columns import COLUMNS
from tiffin.errors import InvalidArgument
from tiffin.linux.processes import Process, read_process, threads


def rows(arguments: str, *pids: int) -> list[dict[str, str]]:
    listing = ps_options.parse(arguments)
    processes = [found for pid in pids if (found := read_process(pid)) is not None]
    titles = [title for title, _ in listing.columns]
    return [dict(zip(titles, row, strict=True)) for row in ps_options.table(listing, processes)]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A child, with arguments to be recognised by, that does nothing."""
    child = subprocess.Popen(["sleep", "1000"], env={"MARK": "env-of-it"})
    while not Path(f"/proc/{child.pid}/environ").read_bytes():
        pass  # execve closes descriptors before it shows the new command line
    yield child
    child.send_signal(signal.SIGKILL)
    child.wait()


def test_facts_of_this_process(sleeper: subprocess.Popen[bytes]) -> None:
    (own,) = rows("-o pid,ppid,user,comm,args,etime,rss,nlwp,stat", os.getpid())
    assert own["PID"] == str(os.getpid())
    assert own["PPID"] == str(os.getppid())
    assert own["COMMAND"] == " ".join(read_process(os.getpid()).command.split())  # type: ignore[union-attr]
    assert int(own["RSS"]) > 1000
    assert int(own["NLWP"]) >= 1  # threads of other tests may still be ending
    assert read_process(2**22 + 1) is None
    (child,) = rows("aux", sleeper.pid)
    assert child["COMMAND"] == "sleep 1000"
    assert child["STAT"][0] in "RSD"
    (child,) = rows("axe", sleeper.pid)
    assert child["COMMAND"] == "sleep 1000 MARK=env-of-it"
    (child,) = rows("auxc", sleeper.pid)
    assert child["COMMAND"] == "sleep"


def test_order_and_tree(sleeper: subprocess.Popen[bytes]) -> None:
    pids = (os.getpid(), sleeper.pid)
    assert [row["PID"] for row in rows("ax --sort=-pid", *pids)] == [
        str(pid) for pid in sorted(pids, reverse=True)
    ]
    assert [row["PID"] for row in rows("axk pid", *pids)] == [str(pid) for pid in sorted(pids)]
    tree = rows("axf", sleeper.pid, os.getpid())
    assert [row["PID"] for row in tree] == [str(pid) for pid in pids]
    assert tree[1]["COMMAND"] == "\\_ sleep 1000"


def test_threads_have_a_line_each() -> None:
    assert ps_options.parse("-eLf").threads
    found = [read_process(os.getpid(), tid) for tid in threads(os.getpid())]
    assert [item.tid for item in found if item is not None] == threads(os.getpid())
    assert threads(2**22 + 1) == []


@pytest.mark.parametrize(
    ("arguments", "titles"),
    [
        ("", "UID PID PPID C STIME TTY TIME CMD"),
        ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("c aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("auxww", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("-o pid,cmd", "PID CMD"),
        ("-opid", "PID"),
        ("-eo pid,comm=NAME", "PID NAME"),
        ("-o pid -o ppid", "PID PPID"),
        ("axo pid,stat", "PID STAT"),
        ("--format=pid,comm --sort -rss", "PID COMMAND"),
        ("-A", "PID TTY TIME CMD"),
        ("-p 1", "PID TTY TIME CMD"),
        ("-C sleep -e", "PID TTY TIME CMD"),
        ("ax", "PID TTY STAT TIME COMMAND"),
        ("f", "PID TTY STAT TIME COMMAND"),
        ("l", "F UID PID PPID PRI NI VSZ RSS WCHAN STAT TTY TIME COMMAND"),
        ("-l", "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD"),
        ("-ely", "S UID PID PPID C PRI NI RSS SZ WCHAN TTY TIME CMD"),
        ("-eF", "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD"),
        ("-eLf", "UID PID PPID LWP C NLWP STIME TTY TIME CMD"),
        ("-T -e", "PID SPID TTY TIME CMD"),
        ("-j", "PID PGID SID TTY TIME CMD"),
        ("-eZ", "LABEL PID TTY TIME CMD"),
        ("-O rss", "PID RSS S TTY TIME COMMAND"),
    ],
)
def test_options(arguments: str, titles: str) -> None:
    assert " ".join(title for title, _ in ps_options.parse(arguments).columns) == titles


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("-o", "ps: error: option -o needs an argument"),
        ("-o nope", 'ps: error: unknown user-defined format specifier "nope"'),
        ("--nope", "ps: error: unknown gnu long option"),
        ("-efI", "ps: error: unsupported SysV option"),
        ("nope", "ps: error: unsupported option (BSD syntax)"),
        ("-o comm", "Couldn't find PID field in ps output"),
        ("-o uid=PID", 'specifying "uid=PID" is not allowed'),
        ("--sort=nope -ef", "ps: error: unknown sort specifier"),
    ],
)
def test_options_that_are_none(arguments: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ps_options.parse(arguments)
    assert str(caught.value) == message


@given(st.text("-aefxuoklpid,= PIDcHLT19", max_size=16))
def test_any_options_are_parsed_or_refused(arguments: str) -> None:
    try:
        assert ps_options.parse(arguments).columns
    except InvalidArgument as error:
        assert str(error)  # noqa: PT017


def test_every_column_shows_something() -> None:
    process = read_process(os.getpid())
    assert isinstance(process, Process)
    for title, render in COLUMNS.values():
        assert title
        assert render(process)


def test_titles_are_those_of_ps() -> None:
    names = sorted(COLUMNS)
    try:
        done = subprocess.run(
            ["ps", "-o", ",".join(names), "-q", str(os.getpid())],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except FileNotFoundError:
        return  # no ps to compare with
    assert [COLUMNS[name][0] for name in names] == done.stdout.splitlines()[0].split()
