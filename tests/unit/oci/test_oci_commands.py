"""The command line without containers: what needs no privileges."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT4

from tiffin.errors import InvalidArgument
from tiffin.oci import command, main
from tiffin.oci.commands import events, features, kill, spec, update
from tiffin.oci.log import Log
from tiffin.oci.store import Record, Store
from tiffin.runtime import config

SCHEMAS = Path(__file__).parents[2] / "reference" / "oci-runtime"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = command.execute(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_starter_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "spec", "-b", str(tmp_path))[0] == 0
    document = json.loads((tmp_path / "config.json").read_text())
    found = config.parse(document, tmp_path)
    assert (found.process.args, found.root) == (("sh",), str(tmp_path / "rootfs"))
    code, _, error = run(capsys, "spec", "-b", str(tmp_path))
    assert (code, "exists. Remove it first" in error) == (1, True)


def test_the_starter_for_a_user_maps_ids(tmp_path: Path) -> None:
    document = spec.starter()
    spec._for_a_user(document, 1000, 1001)
    found = config.parse(document, tmp_path)
    assert found.uid_mappings[0].host == 1000
    assert found.namespace("network") is None


def validator(name: str) -> jsonschema.Draft4Validator:
    documents = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    resources = [(key, DRAFT4.create_resource(value)) for key, value in documents.items()]
    registry: Registry[Any] = Registry().with_resources(resources)
    return jsonschema.Draft4Validator({"$ref": name}, registry=registry)


def test_features_fulfil_the_schema() -> None:
    document = json.loads(json.dumps(features.features()))
    validator("features-schema.json").validate(document)
    assert {"rro", "rbind", "tmpcopyup", "nosymfollow"} <= set(document["mountOptions"])


def test_the_starter_fulfils_the_schema() -> None:
    validator("config-schema.json").validate(spec.starter())


def test_errors_go_where_they_are_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, log = str(tmp_path / "root"), tmp_path / "log.json"
    words = ("--root", root, "--log", str(log), "--log-format", "json", "state", "none")
    code, out, error = run(capsys, *words)
    assert (code, out, error) == (1, "", "container does not exist\n")
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container does not exist")
    assert run(capsys, "--root", root, "state", "../x")[2].count("invalid container ID") == 1
    assert 'msg="invalid log-format: xml"' in run(capsys, "--log-format", "xml", "list")[2]
    assert run(capsys, "--root", root, "list")[0] == 1
    assert run(capsys, "nonsense")[0] == 1
    assert run(capsys, "--root", root, "checkpoint", "x")[2].count("is not offered") == 1


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert "COMMANDS:" in run(capsys)[1]
    assert "--console-socket" in run(capsys, "create", "--help")[1]
    assert run(capsys, "--version")[1].splitlines()[1] == "spec: 1.2.0"


def test_a_store_keeps_what_it_is_given(tmp_path: Path) -> None:
    store = Store(tmp_path / "root")
    store.reserve("one")
    assert store.ids() == []  # half-made
    record = Record("one", 1, 2, "/b", "/b/rootfs", "/g", "2026-01-01T00:00:00Z", 0)
    store.save(record)
    assert (store.ids(), store.load("one")) == (["one"], record)
    store.remove("one")
    store.remove("one")
    assert store.ids() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a b", "ü"])
def test_names_that_are_no_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid container ID format"):
        Store(tmp_path).directory(name)


def test_signals() -> None:
    assert [kill.parse_signal(word) for word in ("TERM", "sigkill", "9", "0")] == [15, 9, 9, 0]
    for word in ("", "NOPE", "99", "-1"):
        with pytest.raises(InvalidArgument, match="unknown signal"):
            kill.parse_signal(word)


def test_durations_and_sizes() -> None:
    assert events.parse_duration("1m30s") == 90
    assert events.parse_duration("100ms") == pytest.approx(0.1)
    with pytest.raises(InvalidArgument):
        events.parse_duration("5")
    assert [update._bytes(text) for text in ("-1", "64M", "2g")] == [-1, 64 << 20, 2 << 30]


def test_the_command_is_found_among_global_flags() -> None:
    assert main.command_of(["--root", "run", "--log=x", "exec", "create"]) == "exec"
    assert main.command_of(["--debug", "create"]) == "create"
    assert main.command_of(["--version"]) == ""


def test_warnings_stay_out_of_the_containers_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Log().warning("lowered")
    assert capsys.readouterr().err == ""
    Log(is_verbose=True).warning("lowered")
    assert "level=warning" in capsys.readouterr().err


def test_a_cheap_command_imports_little() -> None:
    program = (
        "import sys; sys.argv = ['x', '--root', '/nonexistent', 'state', 'x'];"
        "from tiffin.oci import main; import os; os._exit = sys.exit\n"
        "try: main.main()\n"
        "except SystemExit: pass\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {
        "asyncio",
        "aiohttp",
        "msgspec",
        "argparse",
        "subprocess",
        "shutil",
        "tiffin.runtime.plan",
    }
    assert "tiffin.oci.commands.state" in loaded
    assert not heavy & loaded
