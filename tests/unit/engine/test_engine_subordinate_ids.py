"""/etc/subuid, /etc/subgid and `--userns-remap`."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.engine.bundle.user_namespaces import parse_mode
from tiffin.engine.containers.id_ranges import DEFAULT_POOL, IdRanges
from tiffin.engine.subordinate_ids import Range, free_range, read_ranges, remapping
from tiffin.errors import FailedPrecondition, TiffinError
from tiffin.spec.id_mapping import IdMapping, IdMappings


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nann:x:1001:1001::/:/bin/sh\nbob:x:1002:1002::/:/bin/sh\n"
    )
    (tmp_path / "group").write_text("root:x:0:\nann:x:1001:\nstaff:x:50:\n")
    (tmp_path / "subuid").write_text("# ranges\nann:100000:65536\n1001:900000:10\n")
    (tmp_path / "subgid").write_text("ann:200000:65536\n")
    return tmp_path


@pytest.mark.parametrize("setting", ["ann", "1001", "ann:staff", "ann:50", "1001:ann"])
def test_ranges_of_a_user(etc: Path, setting: str) -> None:
    assert remapping(setting, etc) == IdMappings(
        (IdMapping(0, 100000, 65536), IdMapping(65536, 900000, 10)),
        (IdMapping(0, 200000, 65536),),
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("a:b:c", 'Invalid user/group specification in --userns-remap: "a:b:c"'),
        ("eve", 'Error during uid lookup for "eve"'),
        ("7", "Uid 7 has no entry in /etc/passwd"),
        ("1002", "Gid 1002 has no entry in /etc/group"),
        ("bob", 'Error during gid lookup for "bob"'),
        ("ann:wheel", 'Error during groupname lookup for "wheel"'),
        ("ann:77", "Gid 77 has no entry in /etc/passwd"),
        ("bob:staff", 'error creating ID mappings: no subuid ranges found for user "bob"'),
    ],
)
def test_what_it_cannot_be(etc: Path, setting: str, message: str) -> None:
    with pytest.raises(TiffinError) as raised:
        remapping(setting, etc)
    assert message in str(raised.value)


def test_root_is_not_remapped(etc: Path) -> None:
    assert not remapping("root", etc)
    assert not remapping("", etc)


def test_the_default_user_is_made_with_ranges_that_are_free(etc: Path) -> None:
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> None:
        commands.append(command)
        if command[0] == "useradd":
            with (etc / "passwd").open("a") as file:
                file.write("dockremap:x:999:999::/:/bin/false\n")
        else:
            first, _, last = command[2].partition("-")
            with (etc / command[1].removeprefix("--add-").removesuffix("s")).open("a") as file:
                file.write(f"dockremap:{first}:{int(last) - int(first) + 1}\n")

    found = remapping("default", etc, run)
    assert found.uids == (IdMapping(0, 165536, 65536),)
    assert found.gids == (IdMapping(0, 100000, 65536),)
    assert [command[0] for command in commands] == ["useradd", "usermod", "usermod"]
    assert remapping("default", etc, run) == found
    assert len(commands) == 3


def test_without_useradd_the_default_user_is_refused(etc: Path) -> None:
    def run(_: Sequence[str]) -> None:
        raise FailedPrecondition("cannot add user; no useradd binary found")

    with pytest.raises(FailedPrecondition, match='"dockremap" user creation: cannot add user'):
        remapping("default", etc, run)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**5)), max_size=8))
def test_a_free_range_overlaps_nothing(ranges: list[tuple[int, int]]) -> None:
    taken = [Range("", first, size) for first, size in ranges]
    found = free_range(taken, 100_000, 65_536)
    assert found >= 100_000
    assert all(found + 65_536 <= item.first or item.first + item.size <= found for item in taken)


@given(st.text(max_size=60))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("etc") / "subuid"
    path.write_text(text, errors="replace")
    try:
        read_ranges(path)
    except ValueError:
        pass


def test_containers_get_ranges_that_do_not_overlap(tmp_path: Path) -> None:
    ranges, mode = IdRanges(tmp_path), parse_mode("auto:size=100")
    with ranges.promise(mode, []) as first, ranges.promise(mode, []) as second:
        assert first.uids == (IdMapping(0, DEFAULT_POOL.first, 100),)
        assert second.uids[0].host == DEFAULT_POOL.first + 100
    with ranges.promise(mode, [second]) as third:
        assert third == first


def test_the_pool_is_that_of_the_user_containers(tmp_path: Path) -> None:
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("ann:5000:50\ncontainers:5000:100\ncontainers:9000:65536\n")
    ranges = IdRanges(tmp_path)
    with ranges.promise(parse_mode("auto:size=50"), []) as found:
        assert found.gids == (IdMapping(0, 5050, 50),)
    with ranges.promise(parse_mode("auto:size=51"), []) as found:
        assert found.gids == (IdMapping(0, 9000, 51),)
    with pytest.raises(FailedPrecondition, match="no 70000 ids are free"):
        ranges.promise(parse_mode("auto:size=70000"), []).__enter__()


def test_ids_that_are_fixed_lie_among_the_others(tmp_path: Path) -> None:
    mode = parse_mode("auto:size=10,uidmapping=5:1000:2")
    with IdRanges(tmp_path).promise(mode, []) as found:
        first = DEFAULT_POOL.first
        assert found.uids == (
            IdMapping(0, first, 5), IdMapping(5, 1000, 2), IdMapping(7, first + 7, 3)
        )  # fmt: skip
        assert found.gids == (IdMapping(0, first, 10),)
