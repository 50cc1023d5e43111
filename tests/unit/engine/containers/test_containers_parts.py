import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.types.resources import RestartPolicy
from tiffin.engine.containers.changes import without
from tiffin.engine.containers.names import check_name, make_name
from tiffin.engine.containers.policy import next_delay, should_restart
from tiffin.engine.containers.rootfs import stopped_view
from tiffin.engine.containers.signals import parse_signal
from tiffin.engine.containers.stats import network_figures
from tiffin.engine.containers.times import parse_time, rfc3339
from tiffin.engine.containers.until import parse_duration, parse_until
from tiffin.errors import InvalidArgument
from tiffin.layers.changes import Change, ChangeKind
from tiffin.spec.durations import in_words
from tiffin.spec.mount import Mount


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("9", 9), ("64", 64), ("RTMIN", 34),
        ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("rtmax", 64), ("CHLD", 17), ("STKFLT", 16),
    ],
)  # fmt: skip
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@given(st.text(max_size=12))
def test_any_signal_is_parsed_or_refused(text: str) -> None:
    try:
        assert 1 <= parse_signal(text) <= 64
    except InvalidArgument as error:
        assert str(error) == f"invalid signal: {text}"  # noqa: PT017


@pytest.mark.parametrize("text", ["0", "65", "-1", "RTMIN+31", "RTMIN-1", "NOPE", "RTMAX+1"])
def test_signals_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_signal(text)


@given(st.integers(1, 4 * 10**18))
def test_times_survive_the_wire(time_ns: int) -> None:
    assert parse_time(rfc3339(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("", 0), ("0", 0), ("1700000000", 1_700_000_000 * 10**9),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000 * 10**9),
        ("2023-11-14T22:13:20.000000001+00:00", 1_700_000_000 * 10**9 + 1),
        ("2023-11-14", 1_699_920_000 * 10**9), ("2023-11-14T22:13", 1_699_999_980 * 10**9),
    ],
)  # fmt: skip
def test_times(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@given(st.text(max_size=20))
def test_any_time_is_parsed_or_refused(text: str) -> None:
    try:
        parse_time(text)
    except InvalidArgument:
        return


def test_never_is_gos_zero() -> None:
    assert rfc3339(0) == "0001-01-01T00:00:00Z"
    assert rfc3339(1_700_000_000_120_000_000) == "2023-11-14T22:13:20.12Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
        (119, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"),
        (7200, "2 hours"), (47 * 3600, "47 hours"), (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"), (60 * 86400, "2 months"), (730 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert in_words(seconds) == text


def test_until() -> None:
    assert parse_duration("1h30m") == 5400 * 10**9
    assert parse_duration("1.5s") == 1_500_000_000
    assert parse_duration("x") is None
    assert parse_until([], 5) is None
    assert parse_until(["10s"], 20 * 10**9) == 10 * 10**9
    assert parse_until(["1700000000"], 0) == 1_700_000_000 * 10**9
    with pytest.raises(InvalidArgument):
        parse_until(["x"], 0)
    with pytest.raises(InvalidArgument, match="more than one until filter"):
        parse_until(["1s", "2s"], 0)


@pytest.mark.parametrize(
    ("name", "code", "count", "stopped", "daemon", "expected"),
    [
        ("no", 1, 0, False, False, False), ("", 1, 0, False, True, False),
        ("always", 0, 9, False, False, True), ("always", 0, 0, True, False, False),
        ("always", 0, 0, True, True, True), ("unless-stopped", 0, 0, False, True, True),
        ("unless-stopped", 0, 0, True, True, False), ("on-failure", 0, 0, False, False, False),
        ("on-failure", 1, 2, False, False, True), ("on-failure", 1, 3, False, False, False),
    ],
)  # fmt: skip
def test_restart_policies(
    name: str, code: int, count: int, stopped: bool, daemon: bool, expected: bool
) -> None:
    policy = RestartPolicy(name=name, maximum_retry_count=3)
    decided = should_restart(
        policy, exit_code=code, restart_count=count, stopped_by_user=stopped, daemon_started=daemon
    )
    assert decided == expected


def test_back_off() -> None:
    delay, seen = 0.0, []
    for _ in range(12):
        delay = next_delay(delay, 0.5)
        seen.append(delay)
    assert seen[:4] == [0.1, 0.2, 0.4, 0.8]
    assert seen[-1] == 60.0
    assert next_delay(60.0, 10.0) == 0.1


def test_names() -> None:
    name = make_name(lambda _name: False)
    assert check_name(f"/{name}") == name
    taken: set[str] = set()
    for _ in range(50):
        taken.add(make_name(taken.__contains__))
    assert len(taken) == 50


def test_diff_hides_the_mount_points_that_we_made() -> None:
    added, modified = ChangeKind.ADDED, ChangeKind.MODIFIED
    ours = {"/proc", "/etc/hosts", "/a/b/c"}
    found = [
        Change("/a", modified), Change("/a/b", modified), Change("/a/b/c", added),
        Change("/etc", modified), Change("/etc/hosts", added), Change("/etc/x", added),
        Change("/proc", added), Change("/tmp", modified), Change("/tmp/f", added),
    ]  # fmt: skip
    assert [change.path for change in without(found, ours)] == [
        "/etc", "/etc/x", "/tmp", "/tmp/f",
    ]  # fmt: skip
    kept = [Change("/etc", modified), Change("/etc/hosts", modified)]
    assert without(kept, ours) == kept


def test_a_snapshot_is_viewed_without_its_upper_directory() -> None:
    overlay = Mount(
        "overlay", "overlay", ("index=off", "lowerdir=/l1:/l2", "upperdir=/u:x", "workdir=/w")
    )
    (view,) = stopped_view([overlay])
    assert view.options == ("ro", "index=off", "lowerdir=/u\\:x:/l1:/l2")
    bind = Mount("bind", "/x", ("rbind",))
    assert stopped_view([bind]) == (bind,)


def test_network_figures() -> None:
    assert "lo" not in network_figures(os.getpid())
    assert network_figures(2**22 + 1) == {}
