"""Flags as Go's flag package and runc take them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.oci.flags import FLAG, LIST, NUMBER, Flag, parse

FLAGS = (
    Flag("bundle", short="b"),
    Flag("detach", FLAG, "d"),
    Flag("env", LIST, "e"),
    Flag("preserve-fds", NUMBER),
)


def test_all_spellings() -> None:
    words = ["-b", "one", "--detach", "-e=A=b", "--env", "C=d", "--preserve-fds=3", "id"]
    parsed = parse(FLAGS, words)
    assert (parsed.text("bundle"), parsed.has("detach")) == ("one", True)
    assert (parsed.texts("env"), parsed.number("preserve-fds")) == (["A=b", "C=d"], 3)
    assert parsed.words == ["id"]
    assert parse(FLAGS, ["-detach=false"]).has("detach") is False


def test_other_words_end_the_flags_or_do_not() -> None:
    words = ["id", "-d", "ls", "-l"]
    assert parse(FLAGS, words).words == words
    mixed = parse(FLAGS, ["id", "-d", "--", "-l"], mixed=True)
    assert (mixed.words, mixed.has("detach")) == (["id", "-l"], True)
    assert parse(FLAGS, ["-"], mixed=True).words == ["-"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nope"], "flag provided but not defined: -nope"),
        (["--bundle"], "flag needs an argument: -bundle"),
        (["--preserve-fds", "x"], 'invalid value "x" for flag -preserve-fds'),
        (["--detach=maybe"], 'invalid boolean value "maybe" for -detach'),
    ],
)
def test_what_cannot_be_meant(words: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(FLAGS, words)
    assert str(caught.value) == message


@given(st.lists(st.text(max_size=8), max_size=6), st.booleans())
def test_any_words_are_parsed_or_refused(words: list[str], mixed: bool) -> None:
    try:
        parsed = parse(FLAGS, words, mixed=mixed)
    except InvalidArgument:
        return
    assert len(parsed.words) <= len(words)
