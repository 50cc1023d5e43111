import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.filters import Filters
from tiffin.api.version import ApiVersion, check_supported
from tiffin.errors import InvalidArgument

names = st.text(min_size=1, max_size=8)


@pytest.mark.parametrize(
    "text", ['{"label":["a=b","c"]}', '{"label":{"a=b":true,"c":true}}', '{"label":{"a=b":true,"c":false}}']
)  # fmt: skip
def test_both_shapes_mean_the_same(text: str) -> None:
    filters = Filters.parse(text)
    assert filters.get("label") == ["a=b", "c"]
    assert filters.matches_labels({"a": "b", "c": "anything"})
    assert not filters.matches_labels({"a": "b"})
    assert not filters.matches_labels(None)


def test_what_was_not_given_matches() -> None:
    filters = Filters.parse("")
    assert not filters
    assert filters.exact("name", "x")
    assert filters.fuzzy("name", "x")
    assert filters.match("name", "x")
    assert filters.matches_labels({})
    assert filters.get("name") == []


def test_exact_prefix_and_pattern() -> None:
    filters = Filters({"name": ["we", "^db"]})
    assert "name" in filters
    assert filters.exact("name", "we")
    assert not filters.exact("name", "web")
    assert filters.fuzzy("name", "web")
    assert filters.match("name", "a web")
    assert filters.match("name", "db1")
    assert not filters.match("name", "a db")
    assert not Filters({"name": ["("]}).match("name", "x")


def test_unwanted_labels() -> None:
    filters = Filters({"label!": ["keep"]})
    assert not filters.matches_labels({"keep": "1"})
    assert filters.matches_labels({"other": "1"})


@pytest.mark.parametrize(
    "text", ["{", "[]", "1", '{"a":1}', '{"a":[1]}', '{"a":{"b":1}}', '"x"', "\ud800"]
)
def test_malformed_filters_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        Filters.parse(text)


def test_unknown_keys_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid filter 'x'$"):
        Filters({"x": ["1"]}).validate({"label"})


def test_truth_values() -> None:
    assert Filters({"dangling": ["true"]}).boolean("dangling")
    assert not Filters({"dangling": ["0"]}).boolean("dangling")
    assert Filters().boolean("dangling", default=True)
    with pytest.raises(InvalidArgument, match=r"invalid filter 'dangling=\[x\]'"):
        Filters({"dangling": ["x"]}).boolean("dangling")


@given(st.dictionaries(names, st.lists(names, max_size=4), max_size=4))
def test_what_is_sent_is_what_is_read(values: dict[str, list[str]]) -> None:
    by_list = Filters.parse(json.dumps(values))
    by_map = Filters.parse(json.dumps({k: dict.fromkeys(v, True) for k, v in values.items()}))
    for key, wanted in values.items():
        assert by_list.get(key) == by_map.get(key) == list(dict.fromkeys(wanted))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        Filters.parse(text)
    except InvalidArgument:
        pass


def test_versions_compare_as_numbers() -> None:
    assert ApiVersion.parse("1.9") < ApiVersion.parse("1.24") < (1, 25)
    assert str(check_supported(ApiVersion(1, 30))) == "1.30"
    with pytest.raises(InvalidArgument):
        ApiVersion.parse("1.x")
