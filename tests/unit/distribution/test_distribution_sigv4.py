from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.distribution.storage.sigv4 import (
    Keys,
    canonical_request,
    encode_path,
    encode_query,
    signed_headers,
)

KEYS = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
AT = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("path", "query", "headers", "signature"),
    [
        (
            "/test.txt",
            [],
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        ("/", [("lifecycle", "")], {},
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/", [("max-keys", "2"), ("prefix", "J")], {},
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_amazons_examples(
    path: str, query: list[tuple[str, str]], headers: dict[str, str], signature: str
) -> None:
    """The examples of "Signature Calculations for the Authorization Header" in the S3 API reference."""
    signed = signed_headers(KEYS, "GET", HOST, path, query, headers, payload=EMPTY, at=AT)
    assert signed["Authorization"].endswith(f"Signature={signature}")


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)


@given(
    st.sampled_from(["GET", "PUT", "DELETE", "HEAD", "POST"]),
    st.lists(words.filter(lambda w: w not in ("", ".", "..")), min_size=1, max_size=4),
    st.lists(st.tuples(words.filter(bool), words), max_size=4, unique_by=lambda p: p[0]),
    st.text("abc XYZ", max_size=10),
)
def test_it_signs_as_botocore_does(
    method: str, path: list[str], query: list[tuple[str, str]], value: str
) -> None:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    key = "/" + "/".join(path)
    url = f"https://{HOST}{encode_path(key)}"
    request = AWSRequest(method, url, params=dict(query), headers={"x-amz-meta-word": value})
    request.context["timestamp"] = "20130524T000000Z"
    request.headers["X-Amz-Content-SHA256"] = EMPTY
    auth = S3SigV4Auth(Credentials(KEYS.access_key, KEYS.secret_key), "s3", "us-east-1")
    theirs = auth.canonical_request(with_date(request))
    headers = {
        "x-amz-meta-word": value, "host": HOST, "x-amz-content-sha256": EMPTY,
        "x-amz-date": "20130524T000000Z",
    }  # fmt: skip
    assert canonical_request(method, key, query, headers, EMPTY) == theirs


def with_date(request: object) -> object:
    request.headers["X-Amz-Date"] = "20130524T000000Z"  # type: ignore[attr-defined]
    return request


@given(st.lists(st.tuples(words, words), max_size=5))
def test_a_query_is_sorted_and_unambiguous(query: list[tuple[str, str]]) -> None:
    from urllib.parse import parse_qsl

    text = encode_query(query)
    assert text.isascii()
    assert sorted(parse_qsl(text, keep_blank_values=True)) == sorted(query)


def test_a_session_token_is_signed() -> None:
    keys = Keys("a", "b", "eu-west-1", "token")
    signed = signed_headers(keys, "GET", HOST, "/", payload=EMPTY, at=AT)
    assert signed["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in signed["Authorization"]
    assert "secret" not in repr(keys)
