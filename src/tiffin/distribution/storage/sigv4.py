"""AWS Signature Version 4 for requests to S3 (AWS General Reference, "Signing AWS API requests").

Pure functions: a request's parts in, the headers that sign it out.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

UNSIGNED = "UNSIGNED-PAYLOAD"
"""Stands for a body's digest where TLS protects it."""
_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs, and for which region."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str
    session_token: str = field(default="", repr=False)


def signed_headers(
    keys: Keys,
    method: str,
    host: str,
    path: str,
    query: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    *,
    payload: str = UNSIGNED,
    at: datetime | None = None,
) -> dict[str, str]:
    """Return all headers to send: `headers`, those of the signature, and `Authorization`.

    `path` is not encoded yet; `payload` is the hexadecimal sha256 of the body, or UNSIGNED.
    """
    stamp = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    sent = {
        **(headers or {}),
        "host": host,
        "x-amz-content-sha256": payload,
        "x-amz-date": stamp,
    }
    if keys.session_token:
        sent["x-amz-security-token"] = keys.session_token
    scope = f"{stamp[:8]}/{keys.region}/s3/aws4_request"
    names = sorted({name.lower() for name in sent})
    request = canonical_request(method, path, query, sent, payload)
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.new(signing_key(keys, stamp[:8]), text.encode(), hashlib.sha256).hexdigest()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope},"
        f"SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return sent


def canonical_request(
    method: str,
    path: str,
    query: Sequence[tuple[str, str]],
    headers: Mapping[str, str],
    payload: str,
) -> str:
    """Return the text that a signature is about."""
    lines = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    names = sorted(lines)
    return "\n".join(
        [
            method,
            encode_path(path),
            encode_query(query),
            *(f"{name}:{lines[name]}" for name in names),
            "",
            ";".join(names),
            payload,
        ]
    )


def encode_path(path: str) -> str:
    """Return a path percent-encoded as S3 wants it: once, `/` left alone."""
    return quote(path, safe="/" + _UNRESERVED) or "/"


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """Return a query in canonical form: encoded, sorted, every name with a `=`."""
    pairs = sorted((quote(n, safe=_UNRESERVED), quote(v, safe=_UNRESERVED)) for n, v in query)
    return "&".join(f"{name}={value}" for name, value in pairs)


def signing_key(keys: Keys, date: str) -> bytes:
    """Return the key of one day (`YYYYMMDD`), region and service."""
    key = f"AWS4{keys.secret_key}".encode()
    for word in (date, keys.region, "s3", "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key
