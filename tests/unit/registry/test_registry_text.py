"""Credentials, challenges and refusals: what comes as text from others."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.registry.challenge import Challenge, parse_challenges
from tiffin.registry.credentials import ANONYMOUS, Credentials, decode_auth, decode_auths, host_of
from tiffin.registry.endpoints import RegistryOptions
from tiffin.registry.errors import refusal

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
