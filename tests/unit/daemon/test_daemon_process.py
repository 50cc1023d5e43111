"""Sockets, locks, notifications and the log of the daemon's process."""

import dataclasses
import io
import json
import logging
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tiffin.daemon import logging as daemon_logging
from tiffin.daemon.config import Config, load
from tiffin.daemon.instance import only_instance, pid_file
from tiffin.daemon.logging import JsonFormatter, TextFormatter
from tiffin.daemon.main import main
from tiffin.daemon.notify import notify
from tiffin.daemon.sockets import listening
from tiffin.engine.roots import Roots
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument


def config(tmp_path: Path, *hosts: str) -> Config:
    (tmp_path / "daemon.json").write_text("{}")
    made = load({"config-file": str(tmp_path / "daemon.json")})
    return dataclasses.replace(
        made, hosts=hosts, roots=Roots(tmp_path / "d", tmp_path / "r"), group=str(os.getgid())
    )


def test_the_unix_socket_is_for_its_group_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s"
    with listening(config(tmp_path, f"unix://{path}")) as listeners:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert [listener.host for listener in listeners] == [f"unix://{path}"]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_stale_socket_is_replaced_and_a_living_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with listening(config(tmp_path, f"unix://{path}")):
        with pytest.raises(Conflict, match="another process answers"):
            with listening(config(tmp_path, f"unix://{path}")):
                pass
        assert path.exists()


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(Conflict), listening(config(tmp_path, f"unix://{tmp_path}/s")):
        pass
    assert (tmp_path / "s").read_text() == "precious"


def test_tcp_and_its_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with listening(config(tmp_path, "tcp://127.0.0.1:0")) as (listener,):
        port = listener.socket.getsockname()[1]
        assert listener.host == f"tcp://127.0.0.1:{port}"
    assert "without encryption" in caplog.text


@pytest.mark.parametrize(
    "host", ["tcp://[::1", "tcp://a:b", "tcp://x:99999", "ftp://x", "npipe://x"]
)
def test_malformed_hosts(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid bind address"):
        with listening(config(tmp_path, host)):
            pass


def test_no_passed_socket(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="socket activation"):
        with listening(config(tmp_path, "fd://")):
            pass


def test_nothing_is_left_when_a_later_host_fails(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        with listening(config(tmp_path, f"unix://{tmp_path}/s", "ftp://x")):
            pass
    assert not (tmp_path / "s").exists()


def test_one_daemon_per_root(tmp_path: Path) -> None:
    roots = Roots(tmp_path / "d", tmp_path / "r")
    with only_instance(roots), pytest.raises(Conflict, match="another daemon is running on"):
        with only_instance(Roots(tmp_path / "d", tmp_path / "other")):
            pass
    with only_instance(roots):
        pass


def test_pid_file(tmp_path: Path) -> None:
    path = tmp_path / "x" / "pid"
    with pid_file(path):
        assert path.read_text() == str(os.getpid())
    assert not path.exists()
    daemon = [sys.executable, "-c", "input()", "tiffin.daemon.main"]
    with subprocess.Popen(daemon, stdin=subprocess.PIPE) as other:
        while b"tiffin" not in Path(f"/proc/{other.pid}/cmdline").read_bytes():
            pass  # execve closes descriptors before it shows the new command line
        path.write_text(str(other.pid))
        with pytest.raises(Conflict, match="is still running"), pid_file(path):
            pass
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        with pid_file(path):
            pass  # it has ended, though nobody has waited for it
    for stale in (str(os.getppid()), "999999999", "words"):
        path.write_text(stale)
        with pid_file(path):
            pass


def test_a_pid_file_that_names_another_program_is_stale(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    editor = [sys.executable, "-c", "input()", "/srv/tiffin/notes"]
    with subprocess.Popen(editor, stdin=subprocess.PIPE) as other:
        while b"notes" not in Path(f"/proc/{other.pid}/cmdline").read_bytes():
            pass
        path.write_text(str(other.pid))
        with pid_file(path):
            pass
        other.kill()


def test_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        assert notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_log_lines_are_one_line_with_fields(formatter: logging.Formatter) -> None:
    log = logging.Logger("x")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log.addHandler(handler)
    try:
        raise ValueError("bad\nthing")
    except ValueError:
        log.exception("it %s", "broke", extra={"image": "a b"})
    (line,) = stream.getvalue().splitlines()
    if isinstance(formatter, JsonFormatter):
        fields = json.loads(line)
        assert (fields["msg"], fields["image"]) == ("it broke", "a b")
        assert "ValueError" in fields["trace"]
    else:
        assert 'level=error msg="it broke" image="a b" error="bad\\nthing"' in line


def test_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    before = root.level
    try:
        stream = io.StringIO()
        daemon_logging.set_up("warn", "text", stream)
        logging.getLogger("a").info("quiet")
        logging.getLogger("a").warning("loud")
        assert "quiet" not in stream.getvalue()
        assert "level=warning msg=loud" in stream.getvalue()
    finally:
        root.setLevel(before)


def test_the_command_line_answers_quickly(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--version"]) == 0
    assert "Tiffin version" in capsys.readouterr().out
    assert main(["--nope"]) == 125
    assert "unknown flag: --nope\nSee 'tiffind --help'." in capsys.readouterr().err
    (tmp_path / "f").write_text('{"nope": 1}')
    assert main(["--config-file", str(tmp_path / "f")]) == 1
    assert "don't match any configuration option: nope" in capsys.readouterr().err
    assert main(["--config-file", str(tmp_path / "f"), "--help"]) == 0
    (tmp_path / "f").write_text("{}")
    assert main(["--config-file", str(tmp_path / "f"), "--validate"]) == 0
    assert capsys.readouterr().out.endswith("configuration OK\n")


def test_help_does_not_load_the_engine() -> None:
    script = (
        "import sys; from tiffin.daemon.main import main; main(['--help']);"
        "assert 'aiohttp' not in sys.modules and 'asyncio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
