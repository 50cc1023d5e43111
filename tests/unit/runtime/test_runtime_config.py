"""Reading config.json."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.linux.rlimits import Rlimit
from tiffin.runtime import config
from tiffin.runtime.config import Device, Namespace
from tiffin.runtime.config_process import User
from tiffin.spec.id_mapping import IdMapping, IdMappings
from tiffin.spec.mount import Mount

BUNDLE = Path("/bundle")
MINIMAL: dict[str, Any] = {"process": {"args": ["true"]}}


def parse(**members: object) -> config.Config:
    return config.parse({**MINIMAL, **members}, BUNDLE)


def test_minimal() -> None:
    found = parse()
    assert found.root == "/bundle/rootfs"
    assert found.process.cwd == "/"
    assert found.process.user == User()
    assert found.seccomp is None
    assert found.namespace("pid") is None


def test_an_absolute_root_stays() -> None:
    assert parse(root={"path": "/srv/root", "readonly": True}).root == "/srv/root"
    assert parse(root={"path": "r"}).root == "/bundle/r"


def test_everything_has_its_place() -> None:
    rootfs = [{"fstype": "overlay", "source": "overlay", "options": ["lowerdir=/a"], "target": ""}]
    found = parse(
        process={
            "args": ["sh", "-c", "x"],
            "env": ["A=b"],
            "cwd": "/srv",
            "terminal": True,
            "consoleSize": {"height": 24, "width": 80},
            "user": {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 18},
            "capabilities": {"bounding": ["CAP_CHOWN"], "ambient": None},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}],
            "noNewPrivileges": True,
            "oomScoreAdj": 0,
        },
        hostname="box",
        annotations={config.ROOTFS_ANNOTATION: json.dumps(rootfs)},
        mounts=[
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
            {"destination": "data", "source": "/host", "options": ["rbind"]},
        ],
        linux={
            "namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 432}],
            "sysctl": {"net.core.somaxconn": "9"},
            "maskedPaths": ["/proc/kcore"],
            "resources": {"pids": {"limit": 3}},
        },
    )
    assert found.process.user == User(5, 6, (7, 8), 18)
    assert found.process.capabilities.bounding == ("CAP_CHOWN",)
    assert found.process.rlimits == (Rlimit("RLIMIT_NOFILE", 1, 2),)
    assert (found.process.rows, found.process.columns) == (24, 80)
    assert found.process.oom_score_adj == 0
    assert found.rootfs == (Mount("overlay", "overlay", ("lowerdir=/a",)),)
    assert found.mounts == (
        Mount("proc", "proc", ("nosuid",), "/proc"),
        Mount("bind", "/host", ("rbind",), "/data"),
    )
    assert found.namespaces == (Namespace("pid"), Namespace("network", "/proc/1/ns/net"))
    assert found.has_new("pid")
    assert not found.has_new("network")
    assert found.uid_mappings == (IdMapping(0, 1000, 10),)
    assert found.devices == (Device("/dev/x", "c", 1, 2, 0o660),)
    assert found.sysctl == (("net.core.somaxconn", "9"),)
    assert found.resources == {"pids": {"limit": 3}}


def test_idmapped_mounts() -> None:
    maps = [{"containerID": 5, "hostID": 6, "size": 7}]
    plain: dict[str, Any] = {"destination": "/a", "type": "bind", "source": "/x"}
    found = parse(
        mounts=[
            plain,
            {**plain, "uidMappings": maps, "gidMappings": maps},
            {**plain, "options": ["rbind", "ridmap"]},
        ]
    )
    assert found.idmaps == {
        1: IdMappings((IdMapping(5, 6, 7),), (IdMapping(5, 6, 7),)),
        2: IdMappings(),
    }
    assert found.mounts[1].options == ("idmap",)
    assert found.needs_outside
    assert not parse(mounts=[plain]).needs_outside
    with pytest.raises(InvalidArgument, match="must have both uidMappings and gidMappings"):
        parse(mounts=[{**plain, "gidMappings": maps}])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"process": {}}, "process must be given"),
        ({"process": {"args": []}}, "process.args must not be empty"),
        ({"process": {"args": "sh"}}, "process.args must be an array"),
        ({"process": {"args": ["a", 1]}}, "process.args must be an array of strings"),
        ({"process": {"args": ["a\0b"]}}, "process.args must not hold a NUL byte"),
        ({"process": {"args": ["a"], "cwd": "srv"}}, "process.cwd must be an absolute path"),
        ({"process": {"args": ["a"], "user": {"uid": "x"}}}, "process.user.uid must be an integer"),
        ({"process": {"args": ["a"], "user": {"uid": True}}}, "user.uid must be an integer"),
        ({"root": "x"}, "config.json.root must be an object"),
        ({"mounts": [{"type": "proc"}]}, r"mounts\[0\].destination must be given"),
        ({"mounts": ["x"]}, r"mounts\[0\] must be an object"),
        ({"linux": {"namespaces": [{"type": "fun"}]}}, "'fun' is not a namespace type"),
        ({"linux": {"sysctl": {"a": 1}}}, "linux.sysctl must have string values"),
        ({"linux": {"devices": [{"path": "x", "type": "c"}]}}, r"devices\[0\] must have"),
        ({"annotations": {config.ROOTFS_ANNOTATION: "{"}}, "is not JSON"),
        ({"annotations": {config.ROOTFS_ANNOTATION: "{}"}}, "must be an array"),
    ],
)
def test_errors_name_the_member(members: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        parse(**members)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["process", "args", "user", "linux", "mounts", "namespaces", "type", "root", "devices",
             "destination", "sysctl", "annotations", "capabilities", "rlimits", "path"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])  # a loaded machine
@given(
    st.dictionaries(st.sampled_from(["process", "linux", "mounts", "root", "annotations"]), JSON)
)
def test_no_document_gives_anything_but_a_config_or_invalid_argument(
    document: dict[str, Any],
) -> None:
    try:
        config.parse(document, BUNDLE)
    except InvalidArgument:
        return
