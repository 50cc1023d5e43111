"""Cgroups: what is written where, on faked trees."""

import itertools
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiffin.linux.cgroups import device_filter, devices, hierarchy, layout, stats, v1, v2
from tiffin.linux.cgroups.devices import DeviceRule
from tiffin.linux.cgroups.layout import Layout

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
99 31 0:32 /docker/x /run/odd rw - cgroup cgroup rw,memory
"""
UNIFIED = "35 24 0:30 / /sys/fs/cgroup\\040x rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def test_layout_of_a_hybrid_system() -> None:
    found = layout.parse_mountinfo(HYBRID)
    assert found.version == 1
    assert found.v1 == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
        "name=systemd": "/sys/fs/cgroup/systemd",
    }
    assert found.unified == "/sys/fs/cgroup/unified"


def test_layout_of_a_unified_system() -> None:
    found = layout.parse_mountinfo(UNIFIED)
    assert found.version == 2
    assert found.unified == "/sys/fs/cgroup x"


@pytest.mark.parametrize("path", ["", "/", "a/../b", ".."])
def test_paths_stay_below_the_root(path: str) -> None:
    with pytest.raises(ValueError, match="cgroup path"):
        hierarchy.open_group(path, Layout(v1={"memory": "/x"}))


RESOURCES: dict[str, Any] = {
    "devices": [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "b", "major": 8, "access": "r"},
    ],
    "memory": {"limit": 1 << 20, "swap": 2 << 20, "reservation": 4096, "swappiness": 0},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1", "mems": "0"},
    "pids": {"limit": -1},
    "blockIO": {
        "weight": 500,
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
}


def test_v1_plan() -> None:
    assert [(item.file, item.value) for item in v1.plan(RESOURCES)] == [
        ("devices.deny", "a"),
        ("devices.allow", "c 1:3 rw"),
        ("devices.allow", "b 8:* r"),
        ("memory.limit_in_bytes", "1048576"),
        ("memory.memsw.limit_in_bytes", "2097152"),
        ("memory.soft_limit_in_bytes", "4096"),
        ("memory.swappiness", "0"),
        ("cpu.shares", "512"),
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "50000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "max"),
        ("blkio.bfq.weight", "500"),
        ("blkio.throttle.read_bps_device", "8:0 1024"),
        ("hugetlb.2MB.limit_in_bytes", "0"),
    ]


def test_v2_plan() -> None:
    assert [(item.file, item.value) for item in v2.plan(RESOURCES)] == [
        ("memory.max", "1048576"),
        ("memory.swap.max", "1048576"),
        ("memory.low", "4096"),
        ("cpu.weight", "20"),
        ("cpu.max", "50000 100000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "max"),
        ("io.weight", "4950"),
        ("io.max", "8:0 rbps=1024"),
        ("hugetlb.2MB.max", "0"),
    ]
    assert v2.plan({"unified": {"memory.high": "9"}})[0].file == "memory.high"
    with pytest.raises(ValueError, match="file name"):
        v2.plan({"unified": {"../x": "9"}})
    with pytest.raises(ValueError, match="above"):
        v2.plan({"memory": {"limit": 20, "swap": 10}})


def test_nothing_is_written_for_nothing() -> None:
    empty: dict[str, Any] = {"memory": {}, "cpu": None, "pids": {"limit": 0}, "devices": []}
    assert v1.plan(empty) == ()
    assert v2.plan(empty) == ()


@given(st.integers(-10, 1 << 20))
def test_weights_stay_in_their_range(value: int) -> None:
    assert 1 <= v2.weight_of_shares(value) <= 10000
    assert 1 <= v2.weight_of_blkio(value) <= 10000


def test_bad_device_rules_are_named() -> None:
    with pytest.raises(ValueError, match="'type': 'z'"):
        devices.parse([{"allow": True, "type": "z"}])
    with pytest.raises(ValueError, match="'access': 'x'"):
        devices.parse([{"allow": True, "access": "x"}])


def test_v2_group_on_a_faked_tree(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").touch()
    group = v2.GroupV2("/box/one", Layout(unified=str(tmp_path), controllers=("memory", "pids")))
    place = tmp_path / "box" / "one"
    place.mkdir(parents=True)
    for name in ("memory.max", "pids.max", "cgroup.kill", "cgroup.procs"):
        (place / name).touch()
    (tmp_path / "box" / "cgroup.subtree_control").touch()
    for directory, offered in (
        (tmp_path, "cpu memory pids"),
        (place.parent, "memory"),
        (place, ""),
    ):
        (directory / "cgroup.controllers").write_text(offered)
    warnings: list[str] = []
    resources = {"memory": {"limit": 4096, "swap": 8192}, "pids": {"limit": 7}}
    group.create(resources, warnings.append)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (place.parent / "cgroup.subtree_control").read_text() == "+memory"
    assert (place / "memory.max").read_text() == "4096"
    assert (place / "pids.max").read_text() == "7"
    assert warnings == ["the kernel does not support memory.swap.max; it was not set"]
    assert group.directory() == str(place)
    assert group.join_files() == ()


def test_v2_stats_of_a_faked_tree(tmp_path: Path) -> None:
    place = tmp_path / "one"
    place.mkdir()
    for name, text in {
        "memory.current": "100\n",
        "memory.max": "max\n",
        "memory.peak": "200\n",
        "memory.stat": "anon 60\ninactive_file 30\n",
        "memory.events": "low 0\nmax 9\noom 4\noom_kill 2\n",
        "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 1\nthrottled_usec 9\n",
        "pids.current": "3\n",
        "pids.max": "max\n",
        "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
    }.items():
        (place / name).write_text(text)
    figures = v2.GroupV2("/one", Layout(unified=str(tmp_path))).stats()
    assert figures["memory"] == {
        "usage": 100, "max_usage": 200, "limit": 0, "swap_usage": 0, "failcnt": 4, "oom_kills": 2,
        "stats": {"anon": 60, "inactive_file": 30},
    }  # fmt: skip
    assert figures["cpu"]["total_ns"] == 5000
    assert figures["cpu"]["throttled_ns"] == 9000
    assert figures["pids"] == {"current": 3, "limit": 0}
    assert figures["blkio"]["io_serviced_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]


def test_v1_io_lines() -> None:
    text = "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n"
    assert stats.io_entries(text) == [
        {"major": 8, "minor": 0, "op": "Read", "value": 4096},
        {"major": 8, "minor": 0, "op": "Total", "value": 4096},
    ]


def test_a_v1_number_for_no_limit(tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("9223372036854771712\n")
    assert stats.integer(str(tmp_path / "limit")) == 0
    assert stats.integer(str(tmp_path / "absent")) == 0


# Device programs of v2: interpreted, and compared with the rules read one after the other.

KINDS = {"b": 1, "c": 2}
ACCESS = {"m": 1, "r": 2, "w": 4}


def interpret(program: bytes, kind: str, access: str, major: int, minor: int) -> bool:
    """Run the few eBPF instructions that the assembler uses."""
    word = sum(ACCESS[letter] for letter in access) << 16 | KINDS[kind]
    memory = struct.pack("<III", word, major, minor)
    registers = [0] * 11
    instructions = list(struct.iter_unpack("<BBhi", program))
    at = 0
    while True:
        code, both, offset, immediate = instructions[at]
        target, source = both & 15, both >> 4
        at += 1
        if code == 0x61:
            (registers[target],) = struct.unpack_from("<I", memory, offset)
        elif code == 0x54:
            registers[target] &= immediate
        elif code == 0x74:
            registers[target] >>= immediate
        elif code == 0xBF:
            registers[target] = registers[source]
        elif code == 0xB7:
            registers[target] = immediate
        elif code == 0x55:
            at += offset if registers[target] != immediate else 0
        elif code == 0x5D:
            at += offset if registers[target] != registers[source] else 0
        elif code == 0x95:
            return bool(registers[0])
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


def may(rules: tuple[DeviceRule, ...], kind: str, access: str, major: int, minor: int) -> bool:
    allowed = True
    for rule in rules:
        matches = (
            rule.kind in ("a", kind)
            and set(access) <= set(rule.access)
            and rule.major in (-1, major)
            and rule.minor in (-1, minor)
        )
        if matches or (rule.kind == "a" and rule.major == rule.minor == -1):
            allowed = rule.allow
    return allowed


NUMBERS = st.sampled_from([-1, 0, 1, 5])
DEVICE_RULES = st.builds(
    DeviceRule,
    st.booleans(),
    st.sampled_from("abc"),
    NUMBERS,
    NUMBERS,
    st.sampled_from(["r", "rw", "rwm", "m"]),
)


@given(st.lists(DEVICE_RULES, max_size=6))
def test_device_programs_agree_with_their_rules(rules: list[DeviceRule]) -> None:
    program = device_filter.assemble(tuple(rules))
    for kind, access, major, minor in itertools.product(
        "bc", ["r", "w", "rw", "m"], [0, 1, 7], [0, 5]
    ):
        found = interpret(program, kind, access, major, minor)
        assert found == may(tuple(rules), kind, access, major, minor)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"memory": []}, "resources.memory must be an object"),
        ({"memory": {"limit": "1g"}}, "resources.memory.limit must be an integer"),
        ({"cpu": {"quota": True}}, "resources.cpu.quota must be an integer"),
        ({"cpu": {"cpus": 1}}, "resources.cpu.cpus must be a string"),
        ({"blockIO": {"weightDevice": {}}}, "resources.blockIO.weightDevice must be an array"),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8}]}}, r"\[0\].minor must be given"),
        ({"hugepageLimits": ["2MB"]}, r"resources.hugepageLimits\[0\] must be an object"),
        ({"devices": {}}, "resources.devices must be an array"),
        ({"unified": []}, "resources.unified must be an object"),
    ],
)
def test_limits_of_another_shape_are_refused_by_name(resources: dict[str, Any], words: str) -> None:
    for version in (v1, v2):
        with pytest.raises(ValueError, match=words):
            version.plan(resources)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["limit", "swap", "cpus", "quota", "devices", "type", "major", "rate",
                             "weightDevice", "priorities", "pageSize", "memory.max"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["memory", "cpu", "pids", "blockIO", "hugepageLimits", "network", "devices",
                         "unified"]),
        JSON,
    )
)  # fmt: skip
def test_no_limits_give_anything_but_a_plan_or_value_error(resources: dict[str, Any]) -> None:
    for version in (v1, v2):
        try:
            version.plan(resources)
        except ValueError:
            continue


def test_v1_has_no_unified_limits() -> None:
    with pytest.raises(ValueError, match="cannot use unified on cgroup v1"):
        v1.plan({"unified": {"memory.high": "9"}})
