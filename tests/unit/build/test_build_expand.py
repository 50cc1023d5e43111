"""Variable expansion: a table of the operators, and properties."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.build.dockerfile.expand import expand, expand_heredoc, expand_words, split_raw
from tiffin.build.dockerfile.source import SyntaxProblem

VARIABLES = {"x": "value", "empty": "", "path": "a/b/a.tar.gz", "two": "one two", "_u1": "under"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"), ("$x", "value"), ("${x}", "value"), ("$x$x", "valuevalue"),
        ("$unset", ""), ("a$", "a$"), ("$ x", "$ x"), ("$_u1/x", "under/x"), ("$5x", "x"),
        ("'$x'", "$x"), ('"$x"', "value"), ('"a\'b"', "a'b"), ("'a\"b'", 'a"b'),
        (r"\$x", "$x"), (r'"\$x"', "$x"), (r"'\$x'", r"\$x"), (r'"\a"', r"\a"), (r"\a", "a"),
        ("a\\", "a"), ("${x:-d}", "value"), ("${unset:-d}", "d"), ("${empty:-d}", "d"),
        ("${empty-d}", ""), ("${unset-d}", "d"), ("${unset:-}", ""), ("${x:+a}", "a"),
        ("${empty:+a}", ""), ("${empty+a}", "a"), ("${unset+a}", ""), ("${x?no}", "value"),
        ("${unset:-${x}}", "value"), ("${unset:-${nil:-$x}}", "value"),
        ("${unset:-'$x'}", "$x"), ('${unset:-"$x y"}', "value y"), ("${unset:-a b}", "a b"),
        ("${path#*/}", "b/a.tar.gz"), ("${path##*/}", "a.tar.gz"), ("${path%.*}", "a/b/a.tar"),
        ("${path%%.*}", "a/b/a"), ("${path#nope}", "a/b/a.tar.gz"), ("${path#?/}", "b/a.tar.gz"),
        ("${path/a/X}", "X/b/a.tar.gz"), ("${path//a/X}", "X/b/X.tXr.gz"),
        ("${path//a}", "/b/.tr.gz"), (r"${path//\//:}", "a:b:a.tar.gz"),
        ("${path/#*/}", "a/b/a.tar.gz"), ("${x/v*e/$two}", "one two"), ("${unset/a/b}", ""),
        ("$two!", "one two!"), ("${x}y", "valuey"), ("\u00fc$x\u00fc", "\u00fcvalue\u00fc"),
    ],
)  # fmt: skip
def test_one_word(text: str, expected: str) -> None:
    assert expand(text, VARIABLES) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${x", "missing '}'"), ("${", "missing '}'"), ("${}", "bad substitution"),
        ("${x:z}", "unsupported modifier (z) in substitution"), ("${x:", "missing '}'"),
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"), ("${unset:?gone}", "unset: gone"),
        ("'a", "matching single-quote"), ('"a', "matching double-quote"),
        ("${a:-" * 100, "nested too deeply"), ("${x/a/b", "missing '}'"), ("${ x}", "bad subst"),
    ],
)  # fmt: skip
def test_complaints(text: str, message: str) -> None:
    with pytest.raises(SyntaxProblem) as caught:
        expand(text, VARIABLES)
    assert message in caught.value.message


def test_another_escape_character() -> None:
    assert expand(r"C:\dir`$x", VARIABLES, "`") == r"C:\dir$x"
    assert expand("`a``", {}, "`") == "a`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]), ("$two three", ["one", "two", "three"]), ('"$two" b', ["one two", "b"]),
        ("  a\tb  ", ["a", "b"]), ("a'b c'd", ["ab cd"]), (r"a\ b", ["a b"]), ("''", [""]),
        ("$unset", []), ("", []),
    ],
)  # fmt: skip
def test_words(text: str, expected: list[str]) -> None:
    assert expand_words(text, VARIABLES) == expected


def test_raw_words_stay_as_written() -> None:
    assert split_raw(r"""a "b c" '$x' \ d <<"E F" """) == ["a", '"b c"', "'$x'", r"\ d", '<<"E F"']


def test_heredoc_bodies_keep_quotes() -> None:
    assert expand_heredoc("say \"$x\" 'y' \\$x \\n\n", VARIABLES) == "say \"value\" 'y' $x \\n\n"


text_without_magic = st.text(st.characters(exclude_characters="$'\"\\`", exclude_categories=["Cs"]))


@given(text_without_magic)
def test_text_without_magic_is_itself(text: str) -> None:
    assert expand(text, VARIABLES) == text


@given(st.text("ab \t\n"))
def test_blanks_separate_words(text: str) -> None:
    assert expand_words(text, {}) == text.split()


@given(st.text(), st.dictionaries(st.sampled_from(["x", "y"]), st.text()))
def test_anything_expands_or_is_a_syntax_problem(text: str, variables: dict[str, str]) -> None:
    for function in (expand, expand_words, expand_heredoc):
        with suppress(SyntaxProblem):
            function(text, variables)
    with suppress(SyntaxProblem):
        split_raw(text)


@given(st.text(st.characters(exclude_characters="'")))
def test_single_quotes_protect_everything(text: str) -> None:
    assert expand(f"'{text}'", VARIABLES) == text


@given(st.text())
def test_escaping_every_character_protects_everything(text: str) -> None:
    assert expand("".join(f"\\{character}" for character in text), VARIABLES) == text


@given(st.text(), st.text(max_size=4))
def test_trimming_a_literal(value: str, part: str) -> None:
    literal = "".join(f"\\{character}" for character in part)
    for operator in ("#", "##"):
        assert expand(f"${{v{operator}{literal}}}", {"v": value}) == value.removeprefix(part)
    for operator in ("%", "%%"):
        assert expand(f"${{v{operator}{literal}}}", {"v": value}) == value.removesuffix(part)
    if part:
        assert expand(f"${{v//{literal}/}}", {"v": value}) == value.replace(part, "")
        assert expand(f"${{v/{literal}/-}}", {"v": value}) == value.replace(part, "-", 1)
