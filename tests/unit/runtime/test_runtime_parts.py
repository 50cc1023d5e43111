"""The handshake, finding programs, the cache of filters, sysctl names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiffin.errors import InvalidArgument
from tiffin.runtime import handshake
from tiffin.runtime.executable import NotExecutable, find, home_of
from tiffin.runtime.handshake import Kind
from tiffin.runtime.namespace_operations import sysctl_path
from tiffin.runtime.programs import Programs


def test_messages_carry_text_and_descriptors() -> None:
    ours, theirs = handshake.pair()
    read_end, write_end = os.pipe()
    ours.send(Kind.READY, "grüße \udcff", [write_end])
    os.close(write_end)
    message = theirs.receive()
    assert (message.kind, message.text) == (Kind.READY, "grüße \udcff")
    assert not os.get_inheritable(message.descriptors[0])
    os.write(message.descriptors[0], b"x")
    assert os.read(read_end, 1) == b"x"
    handshake.close_all([read_end, *message.descriptors])
    ours.close()
    assert theirs.receive().kind is Kind.CLOSED
    theirs.close()


def test_sending_to_nobody_is_a_broken_pipe() -> None:
    ours, theirs = handshake.pair()
    theirs.close()
    with pytest.raises(BrokenPipeError):
        ours.send(Kind.START)
    ours.close()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").touch(0o755)
    (tmp_path / "bin" / "notes").touch(0o644)
    (tmp_path / "bin" / "folder").mkdir()
    return tmp_path


def test_programs_are_searched_in_path(programs: Path) -> None:
    env = [f"PATH=/nowhere:{programs}/bin"]
    assert find("tool", env) == f"{programs}/bin/tool"
    assert find(f"{programs}/bin/tool", []) == f"{programs}/bin/tool"


def test_errors_have_the_words_that_clients_know(programs: Path) -> None:
    env = [f"PATH={programs}/bin"]
    bin_ = programs / "bin"
    for program, words in {
        "nope": 'exec: "nope": executable file not found in $PATH',
        "folder": 'exec: "folder": executable file not found in $PATH',
        "": 'exec: "": executable file not found in $PATH',
        f"{bin_}/x": f'exec: "{bin_}/x": stat {bin_}/x: no such file or directory',
        f"{bin_}/folder": f'exec: "{bin_}/folder": is a directory',
        f"{bin_}/notes": f'exec: "{bin_}/notes": permission denied',
        f"{bin_}/tool/x": f'exec: "{bin_}/tool/x": stat {bin_}/tool/x: not a directory',
    }.items():
        with pytest.raises(NotExecutable) as caught:
            find(program, env)
        assert str(caught.value) == words
    with pytest.raises(NotExecutable, match="not found in"):
        find("tool", [])


def test_home_directories() -> None:
    text = "root:x:0:0:root:/root:/bin/sh\nbad line\nu:x:1000:1000::/home/u:/bin/sh\nv:x:7:7:::\n"
    assert home_of(0, text) == "/root"
    assert home_of(1000, text) == "/home/u"
    assert home_of(7, text) == "/"
    assert home_of(42, text) == "/"


def test_sysctl_names_take_dots_or_slashes() -> None:
    assert sysctl_path("net.ipv4.ip_forward") == "/proc/sys/net/ipv4/ip_forward"
    assert sysctl_path("net/ipv4/ip_forward") == "/proc/sys/net/ipv4/ip_forward"
    assert sysctl_path("net.ipv4.conf.a/b.x") == "/proc/sys/net/ipv4/conf/a.b/x"


PROFILE = {"defaultAction": "SCMP_ACT_ALLOW"}


def test_filters_are_compiled_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "cache"
    program = Programs(directory).program(PROFILE)
    assert program
    (kept,) = directory.iterdir()
    key, _, rest = kept.read_bytes().partition(b"\n")
    assert rest == program
    kept.write_bytes(key + b"\n12345678")
    assert Programs(directory).program(PROFILE) == b"12345678"
    kept.write_bytes(b"another profile of the same checksum\n12345678")
    assert Programs(directory).program(PROFILE) == program
    assert Programs().program(PROFILE) == program


def test_no_profile_no_filter(tmp_path: Path) -> None:
    assert Programs(tmp_path).program(None) == b""
    assert list(tmp_path.iterdir()) == []


def test_bad_profiles_are_invalid_arguments() -> None:
    with pytest.raises(InvalidArgument, match=r"linux.seccomp: unsupported action 'x'"):
        Programs().program({"defaultAction": "x"})


def test_no_module_is_taken_from_an_image() -> None:
    program = (
        "from tiffin.runtime import child; child._load_no_more()\n"
        "try: import wave\n"
        "except ModuleNotFoundError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "refused\n"
