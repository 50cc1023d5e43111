"""A child that was forked beforehand is used where it fits, and goes without trace where not."""

import os
from pathlib import Path
from typing import Any

import pytest
from tests.root.runtime.runtime_rig import Rig

from tiffin.errors import FailedPrecondition

pytestmark = pytest.mark.root

SHOWS = "hostname; cat /proc/1/comm; readlink /proc/self/ns/net; wc -l < /proc/mounts; id -u"


def children() -> set[int]:
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(pid) for pid in task.read_text().split()}


def spare_of(rig: Rig) -> int:
    before = children()
    rig.runtime.prepare()
    (made,) = children() - before
    return made


def namespace(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")


def test_it_becomes_the_first_process_of_an_ordinary_container(rig: Rig) -> None:
    plain, _ = rig.run(rig.config("sh", "-c", SHOWS))
    spare = spare_of(rig)
    network = namespace(spare, "net")
    assert namespace(spare, "mnt") == namespace("self", "mnt")  # the host's mounts of later count
    shown, ended = rig.run(rig.config("sh", "-c", SHOWS))
    assert ended.status == 0
    lines = shown.split("\n")
    assert lines[2] == network
    assert [*lines[:2], *lines[3:]] == [*plain.split("\n")[:2], *plain.split("\n")[3:]]
    assert not children()


@pytest.mark.parametrize(
    "kinds",
    [
        ("mount", "uts", "ipc", "network", "cgroup"),
        ("mount", "pid", "uts", "ipc", "cgroup"),
        ("mount", "pid", "uts", "network", "cgroup"),
    ],
)
def test_it_is_not_used_for_a_container_with_fewer_namespaces(
    rig: Rig, kinds: tuple[str, ...]
) -> None:
    spare = spare_of(rig)
    found = {kind: namespace(spare, kind) for kind in ("net", "pid", "ipc")}
    document = rig.config("sh", "-c", "for n in net pid ipc; do readlink /proc/self/ns/$n; done")
    document["linux"]["namespaces"] = [{"type": kind} for kind in kinds]
    shown, ended = rig.run(document)
    assert ended.status == 0
    for kind, word in (("net", "network"), ("pid", "pid"), ("ipc", "ipc")):
        assert (namespace("self", kind) in shown) == (word not in kinds)
        assert found[kind] not in shown
    assert not children()


@pytest.mark.parametrize("change", [{"uts": False}, {"uts": True}])
def test_host_name_is_that_of_the_moment(rig: Rig, change: dict[str, Any]) -> None:
    spare_of(rig)
    document = rig.config("hostname")
    if not change["uts"]:
        document["linux"]["namespaces"] = [
            item for item in document["linux"]["namespaces"] if item["type"] != "uts"
        ]
        del document["hostname"]
    shown, _ = rig.run(document)
    assert shown.strip() == ("box" if change["uts"] else os.uname().nodename)


def test_one_that_was_killed_is_replaced(rig: Rig) -> None:
    spare = spare_of(rig)
    os.kill(spare, 9)
    os.waitid(os.P_PID, spare, os.WEXITED | os.WNOWAIT)
    shown, ended = rig.run(rig.config("echo", "all the same"))
    assert (shown, ended.status) == ("all the same\n", 0)
    assert not children()


def test_errors_are_those_of_any_child(rig: Rig) -> None:
    for program in ("/nothing/here", "/etc/passwd"):
        spare_of(rig)
        with pytest.raises(FailedPrecondition, match=program):
            rig.run(rig.config(program))
        assert not children()
