import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.cli.flags import (
    UsageError,
    boolean,
    integer,
    listing,
    parse,
    parse_duration,
    parse_nano_cpus,
    parse_size,
    string,
)

FLAGS = [
    boolean("interactive", "", "i"),
    boolean("tty", "", "t"),
    boolean("rm", ""),
    listing("publish", "", "p"),
    string("name", ""),
    integer("tail", "", "n"),
]


@pytest.mark.parametrize(
    ("line", "expected", "rest"),
    [
        ("-it image", {"interactive": True, "tty": True}, ["image"]),
        ("--rm=false image", {"rm": False}, ["image"]),
        ("-p80:80 -p=81:81 -p 82:82 image", {"publish": ["80:80", "81:81", "82:82"]}, ["image"]),
        ("-itp 1:1 image", {"tty": True, "publish": ["1:1"]}, ["image"]),
        ("--name=a=b image", {"name": "a=b"}, ["image"]),
        ("--name x -- --rm", {"name": "x", "rm": False}, ["--rm"]),
        ("-n -1 x", {"tail": -1}, ["x"]),
    ],
)
def test_forms(line: str, expected: dict[str, object], rest: list[str]) -> None:
    values, positional = parse(FLAGS, line.split())
    assert {name: values[name] for name in expected} == expected
    assert positional == rest


def test_flags_of_the_container_are_left_alone() -> None:
    values, positional = parse(FLAGS, ["-i", "image", "ls", "-t", "--rm"], interspersed=False)
    assert values["interactive"]
    assert not values["tty"]
    assert positional == ["image", "ls", "-t", "--rm"]


def test_interspersed_flags_are_taken_anywhere() -> None:
    values, positional = parse(FLAGS, ["a", "--rm", "b"])
    assert values["rm"]
    assert positional == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--foo", "unknown flag: --foo"),
        ("-x", "unknown shorthand flag: 'x' in -x"),
        ("-ix", "unknown shorthand flag: 'x' in -ix"),
        ("--name", "flag needs an argument: --name"),
        ("-p", "flag needs an argument: 'p' in -p"),
        (
            "-n x",
            (
                'invalid argument "x" for "-n, --tail" flag: strconv.ParseInt: parsing "x": '
                "invalid syntax"
            ),
        ),
        (
            "--rm=maybe",
            (
                'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": '
                "invalid syntax"
            ),
        ),
    ],
)
def test_faults_have_pflags_words(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(FLAGS, line.split())
    assert str(caught.value) == message


@given(st.lists(st.text(alphabet="-abitrm=p: ", max_size=6), max_size=6))
def test_any_words_are_parsed_or_refused(words: list[str]) -> None:
    try:
        _, positional = parse(FLAGS, words)
    except UsageError:
        return
    assert all(word in words for word in positional)


@pytest.mark.parametrize(
    ("text", "value"),
    [("512m", 512 << 20), ("1.5g", 3 << 29), ("10", 10), ("1KiB", 1024), ("2kb", 2048), ("-1", -1)],
)
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["foo", "", "m", "1x", "--1"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1h30m", 5400 * 10**9),
        ("500ms", 5 * 10**8),
        ("0", 0),
        ("-2s", -2 * 10**9),
        ("1.5s", 15 * 10**8),
    ],
)
def test_durations(text: str, value: int) -> None:
    assert parse_duration(text) == value


def test_cpus_are_exact_to_a_billionth() -> None:
    assert parse_nano_cpus("1.5") == 1_500_000_000
    with pytest.raises(ValueError, match="too precise"):
        parse_nano_cpus("0.00000000001")
