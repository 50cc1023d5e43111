import io
import subprocess
import sys
from pathlib import Path

import pytest

from tiffin.cli.main import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--listen", "nowhere"], "invalid address"),
        (["--config", "none.toml"], "No such file"),
        (["--htpasswd", "none"], "cannot read the htpasswd file"),
        (["--tls-cert", "x"], "tls.key is missing"),
        (["--gc-grace", "long"], "invalid duration"),
        (["--anonymous-pull"], "needs --htpasswd"),
        (["--s3", "bucket", "--s3-endpoint", "http://127.0.0.1:1"], "no credentials"),
        (["--tokens"], "give one"),
        (["--mirror", "ftp://x"], "invalid upstream"),
        (["surplus"], "accepts no arguments"),
    ],
)
def test_faults(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert main(["registry", "serve", "--root", str(tmp_path / "root"), *options]) == 1
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        root = str(tmp_path / "root")
        assert main(["registry", "serve", "--root", root, "--listen", address]) == 1
    assert "address already in use" in capsys.readouterr().err


def test_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tiffin.distribution.access.htpasswd._COST", 4)
    file = tmp_path / "users"
    for user in ("ann", "bob", "ann"):
        monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
        assert main(["registry", "user", "--password-stdin", str(file), user]) == 0
    assert [line.partition(":")[0] for line in file.read_text().splitlines()] == ["bob", "ann"]
    assert main(["registry", "user", "--remove", str(file), "bob"]) == 0
    assert main(["registry", "user", "--remove", str(file), "bob"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["registry", "user", str(file), "eve"]) == 1
    assert "--password-stdin" in capsys.readouterr().err


def test_collecting_garbage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tmp_path / "root")
    assert main(["registry", "gc", "--root", root, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Would remove 0 manifests, 0 references, 0 blobs")
    assert "Total reclaimed space: 0B" in out


def test_other_commands_do_not_pay_for_the_server() -> None:
    code = (
        "import sys; from tiffin.cli.main import main; main(['registry', 'serve', '--help']); "
        "sys.exit(any(name.startswith('tiffin.distribution') or name == 'aiohttp' "
        "for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pull-through cache" in done.stdout
