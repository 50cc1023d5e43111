"""Which runtimes `--runtime` takes."""

from pathlib import Path
from typing import Any

import pytest

from tiffin.engine.runtimes import Runtimes, parse_runtimes, wrap_in_init
from tiffin.engine.tasks.contract import OciBinary
from tiffin.errors import FailedPrecondition, InvalidArgument


def test_paths_and_arguments() -> None:
    values = {
        "crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--debug"]},
        "shim": {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "youki"}},
        "plain": {"runtimeType": "io.containerd.runc.v2"},
    }
    found = parse_runtimes(values, "crun")
    assert found["crun"] == OciBinary("crun", "/usr/bin/crun", ("--debug",))
    assert (found["shim"].path, found["plain"].path) == ("youki", "runc")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "runtime x: either a runtimeType or a path must be configured"),
        ({"path": "a", "runtimeType": "b"}, "cannot configure both path and runtimeType"),
        ({"path": "a", "options": {"k": 1}}, "options cannot be used with a path runtime"),
        ({"runtimeType": "io.containerd.runc.v2", "runtimeArgs": ["a"]}, "args cannot be used"),
        ({"runtimeType": "io.containerd.kata.v2"}, "needs a shim of containerd"),
        (
            {"runtimeType": "io.containerd.runc.v2", "options": {"SystemdCgroup": True}},
            "option SystemdCgroup is not offered",
        ),
        ("text", "must be an object"),
        ({"path": 5}, "invalid value for path"),
        ({"pfad": "a"}, "unknown field pfad"),
    ],
)
def test_what_cannot_be_meant(value: Any, words: str) -> None:  # noqa: ANN401
    with pytest.raises(InvalidArgument, match=words):
        parse_runtimes({"x": value}, "tiffin")


def test_the_default_must_exist() -> None:
    with pytest.raises(InvalidArgument, match="specified default runtime 'crun' does not exist"):
        parse_runtimes({}, "crun")
    assert parse_runtimes({}, "runc") == {}


def test_finding() -> None:
    crun = OciBinary("crun", "crun")
    runtimes = Runtimes({"crun": crun})
    assert (runtimes.find("crun"), runtimes.find(""), runtimes.find("runc")) == (crun, None, None)
    with pytest.raises(InvalidArgument, match="unknown or invalid runtime name: nope"):
        runtimes.find("nope")
    runtimes.configure({"runc": crun}, "runc")
    assert (runtimes.find(""), runtimes.find("runc")) == (crun, crun)
    assert runtimes.names()["runc"] == ("crun", ())


def test_the_init_of_others(tmp_path: Path) -> None:
    init = tmp_path / "my-init"
    init.write_text("#!/bin/sh\n")
    init.chmod(0o755)
    assert Runtimes(init_path=str(init)).init() == init
    with pytest.raises(FailedPrecondition, match='exec: "/none": executable file not found'):
        Runtimes(init_path="/none").init()
    bundle: dict[str, Any] = {"process": {"args": ["a", "b"]}, "mounts": []}
    wrap_in_init(bundle, init)
    assert bundle["process"]["args"] == ["/sbin/docker-init", "--", "a", "b"]
    assert bundle["mounts"][0]["source"] == str(init)
