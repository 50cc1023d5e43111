"""Tables of .dockerignore and of filepath.Match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.build.selection import keeps
from tiffin.errors import InvalidArgument
from tiffin.spec.dockerignore import parse_ignore
from tiffin.spec.patterns import compile_pattern, has_magic, matches


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("abc", "abc", True), ("*", "abc", True), ("*c", "abc", True), ("a*", "a", True),
        ("a*", "ab/c", False), ("a*/b", "abc/b", True), ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True), ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("ab[c]", "abc", True), ("ab[b-d]", "abc", True), ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False), ("ab[^e-g]", "abc", True), (r"a\*b", "a*b", True),
        (r"a\*b", "ab", False), ("a?b", "a☺b", True), ("a[^a]b", "a☺b", True),
        ("[a-ü]*", "ß", True), ("*[a-ü]", "A", False), ("a?b", "a/b", False),
        (r"[\]a]", "]", True), (r"[\-]", "-", True), (r"[x\-]", "x", True), ("*x", "xxx", True),
    ],
)  # fmt: skip
def test_match(pattern: str, path: str, *, expected: bool) -> None:
    assert matches(pattern, path) is expected


@pytest.mark.parametrize("pattern", ["[", "[a", "[]a]", "[-]", "[a-]", "[x-]", "a\\", "[^bc"])
def test_malformed_patterns(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="syntax error in pattern"):
        matches(pattern, "a")


@pytest.mark.parametrize(
    ("rules", "excluded", "kept"),
    [
        ("*.md", ["a.md"], ["a.txt", "d/a.md"]),
        ("**/*.md", ["a.md", "d/a.md", "d/e/a.md"], ["a.txt"]),
        ("d", ["d", "d/a", "d/e/f"], ["dd", "e/d"]),
        ("d/", ["d", "d/a"], ["e"]),
        ("/d", ["d/a"], ["e/d"]),
        ("d/**", ["d/a", "d/e/f"], ["d"]),
        ("**", ["a", "b/c"], []),
        ("*", ["a", "b", "b/c"], []),
        ("*\n!a", ["b"], ["a"]),
        ("*\n!d/keep", ["d/drop", "x"], ["d/keep"]),
        ("d\n!d/e\nd/e/f", ["d/a", "d/e/f"], ["d/e", "d/e/g"]),
        ("# c\n\n  x  \n", ["x"], ["# c", "y"]),
        ("a/../b", ["b"], ["a"]),
        ("temp?", ["tempa"], ["temp", "tempab"]),
        ("*/temp*", ["a/temporary"], ["temporary", "a/b/temp"]),
        ("*/*/temp*", ["a/b/temp1"], ["a/temp1"]),
        ("**/node_modules", ["node_modules/x", "a/node_modules/y/z"], ["a/node_module"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/x", "x/b"]),
        ("**foo", ["foo", "a/foo"], ["xfoo"]),
        ("\ufeffbom", ["bom"], []),
        (".", [], ["a"]),
        ("! x\nx", ["x"], []),
        ("[a-c].txt", ["b.txt"], ["d.txt"]),
    ],
)  # fmt: skip
def test_rules(rules: str, excluded: list[str], kept: list[str]) -> None:
    ignore = parse_ignore(rules)
    assert [path for path in excluded if not ignore.excludes(path)] == []
    assert [path for path in kept if ignore.excludes(path)] == []


def test_directories_with_exceptions_are_visited() -> None:
    ignore = parse_ignore("*\n!a/b/c\n!x*/y\n!**/z")
    assert keeps(ignore, "a", is_directory=True)
    assert keeps(ignore, "a/b", is_directory=True)
    assert not keeps(ignore, "a", is_directory=False)
    plain = parse_ignore("*\n!a/b")
    assert not keeps(plain, "c", is_directory=True)


def test_malformed_rules() -> None:
    with pytest.raises(InvalidArgument, match='illegal exclusion pattern: "!"'):
        parse_ignore("!")
    with pytest.raises(InvalidArgument, match="syntax error in pattern"):
        parse_ignore("a[")


@given(st.text(), st.text())
def test_any_text_is_a_pattern_or_malformed(pattern: str, path: str) -> None:
    for stars in (False, True):
        try:
            compile_pattern(pattern, stars=stars).fullmatch(path)
        except InvalidArgument:
            assert has_magic(pattern)


@given(st.text(st.characters(exclude_characters="*?[\\")))
def test_plain_text_matches_itself_alone(text: str) -> None:
    assert matches(text, text)
    assert not matches(text, text + "x")
