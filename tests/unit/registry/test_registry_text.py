"""Credentials, challenges and refusals: what comes as text from others."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.registry.challenge import Challenge, parse_challenges
from tiffin.registry.credentials import ANONYMOUS, Credentials, decode_auth, decode_auths, host_of
from tiffin.registry.endpoints import RegistryOptions
from tiffin.registry.errors import refusal
from tiffin.registry.headers import next_link, retry_after_s
from tiffin.registry.upload import parse_progress

AUTH = {"username": "ann", "password": "ü?>~", "serveraddress": "https://r.example/v1/"}


@pytest.mark.parametrize("encode", [base64.urlsafe_b64encode, base64.b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_auth_header(encode: object, padded: bool) -> None:
    header = encode(json.dumps(AUTH).encode()).decode()  # type: ignore[operator]
    found = decode_auth(header if padded else header.rstrip("="))
    assert found == Credentials("ann", "ü?>~", server_address="https://r.example/v1/")
    assert "?>~" not in repr(found)


def test_auth_forms() -> None:
    assert decode_auth("") is ANONYMOUS
    assert ANONYMOUS.is_anonymous
    assert Credentials.from_json({"auth": "YW5uOnA6dw=="}) == Credentials("ann", "p:w")
    header = base64.urlsafe_b64encode(json.dumps({"https://index.docker.io/v1/": AUTH}).encode())
    assert decode_auths(header.decode())["docker.io"].username == "ann"
    assert host_of("http://localhost:5000/v1/") == "localhost:5000"


@pytest.mark.parametrize("header", ["!", "e30", "bnVsbA==", "WzFd", "eyJ1c2VybmFtZSI6MX0="])
def test_bad_auth_headers(header: str) -> None:
    if header == "e30":
        assert decode_auth(header) == ANONYMOUS
        return
    with pytest.raises(InvalidArgument, match="invalid X-Registry-Auth header"):
        decode_auth(header)


def test_challenges() -> None:
    header = (
        'Bearer realm="https://a/t?x=1,2",service=r,scope="repository:a:pull,push", '
        'Basic realm="a \\"b\\""'
    )
    assert parse_challenges([header]) == [
        Challenge(
            "bearer",
            {"realm": "https://a/t?x=1,2", "service": "r", "scope": "repository:a:pull,push"},
        ),
        Challenge("basic", {"realm": 'a "b"'}),
    ]
    assert parse_challenges(["Negotiate", "=,="]) == [Challenge("negotiate", {})]


@given(st.text(max_size=60))
def test_any_text_is_survived(text: str) -> None:
    parse_challenges([text])
    refusal(404, text.encode("utf-8", "replace"))
    try:
        decode_auth(text)
    except InvalidArgument:
        pass


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"m"}]}', "manifest unknown: m"),
        (401, b'{"details":"incorrect username or password"}',
         "unauthorized: incorrect username or password"),
        (403, b"<html>", "denied: requested access to the resource is denied"),
        (500, b"", "unknown: received unexpected HTTP status: 500"),
        (404, b"[]", "not found"),
        (404, b'{"errors":5}', "not found"),
        (429, b'{"errors":[]}', "toomanyrequests: too many requests"),
    ],
)  # fmt: skip
def test_refusals(status: int, body: bytes, text: str) -> None:
    assert str(refusal(status, body)) == text


def test_bad_mirror() -> None:
    with pytest.raises(InvalidArgument, match="no scheme specified"):
        RegistryOptions(mirrors=("mirror.example",))


NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), (" 0 ", 0), ("", 0), ("-5", 0), ("1.5", 0), ("soon", 0), ("9" * 30, 0),
        ("Wed, 04 Mar 2026 05:07:07 GMT", 60), ("Wed, 04 Mar 2026 05:05:07 GMT", 0),
        ("Wed, 99 Mar 99999 05:05:07 GMT", 0), ("²", 0),
    ],
)  # fmt: skip
def test_retry_after(text: str, seconds: float) -> None:
    assert retry_after_s(text, NOW) == seconds


@given(st.text(max_size=60))
def test_retry_after_of_anything(text: str) -> None:
    assert 0 <= retry_after_s(text, NOW) < 10**12


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        (['</v2/x/tags/list?last=b>; rel="next"'], "/v2/x/tags/list?last=b"),
        (["<a>; rel=prev, <b>; title=\"x, y\"; REL=next"], "b"),
        (["<a>; rel=\"prev next\""], "a"),
        (["<a>; rel=prev", "<b>;rel=next"], "b"),
        (["<a>; rel=prev; rel=next"], ""),
        (["a; rel=next"], ""), (["<a; rel=next"], ""), ([], ""), (["<a>"], ""),
    ],
)  # fmt: skip
def test_next_link(headers: list[str], target: str) -> None:
    assert next_link(headers) == target


@given(st.lists(st.text(st.sampled_from('<>;,="\\ relnxt')), max_size=3))
def test_next_link_of_anything(headers: list[str]) -> None:
    found = next_link(headers)
    assert not found or any(f"<{found}>" in header for header in headers)


@given(st.text(st.characters(exclude_characters="<>", codec="latin-1")))
def test_links_are_found_again(target: str) -> None:
    assert next_link([f'<p>; rel="prev", <{target}>; rel="next"']) == target


@given(st.text(st.sampled_from('Bearer ,="\\realm'), max_size=80))
def test_challenges_of_anything(header: str) -> None:
    for challenge in parse_challenges([header]):
        assert challenge.scheme == challenge.scheme.lower()


@given(st.integers(1, 10**17))
def test_progress_of_uploads(size: int) -> None:
    assert parse_progress(f"0-{size}") == parse_progress(f"bytes=0-{size}") == size + 1


@given(st.text(max_size=20))
def test_progress_of_anything(text: str) -> None:
    assert parse_progress(text) >= 0
    assert parse_progress("0-0") == parse_progress("") == parse_progress("5-9") == 0
