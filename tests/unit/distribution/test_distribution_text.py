import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.distribution import layout
from tiffin.distribution.access.gate import Action, Need
from tiffin.distribution.access.passwords import parse_basic
from tiffin.distribution.access.policy import Policy, parse_rule
from tiffin.distribution.access.scopes import format_scopes, parse_scopes
from tiffin.distribution.config_file import load, parse_duration, parse_size
from tiffin.distribution.documents import parse, reread
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.target import Kind, parse_target
from tiffin.distribution.names import is_tag, parse_name, parse_reference
from tiffin.distribution.ranges import (
    ByteRange,
    Malformed,
    Unsatisfiable,
    parse_content_range,
    parse_range,
)
from tiffin.distribution.service import is_loopback, parse_address
from tiffin.errors import InvalidArgument
from tiffin.spec.descriptor import OCI_INDEX, OCI_MANIFEST
from tiffin.spec.digest import Digest

# The expressions of the specification, word for word.
SPEC_NAME = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
SPEC_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
DIGEST = Digest("sha256:" + "ab" * 32)
words = st.text("az09", min_size=1, max_size=4)
separators = st.sampled_from([".", "_", "__", "-", "---", "/"])
names = st.builds(
    lambda first, rest: first + "".join(s + w for s, w in rest),
    words,
    st.lists(st.tuples(separators, words), max_size=6),
)


def refusal(call: Callable[[], object]) -> DistributionError | None:
    try:
        call()
    except DistributionError as error:
        return error
    return None


@given(names)
def test_names_of_the_spec(name: str) -> None:
    assert re.fullmatch(SPEC_NAME, name)
    assert parse_name(name) == name
    assert layout.unescape(layout.escape(name)) == name
    assert layout.link_of(layout.link(DIGEST, name)) == (DIGEST, name)


@given(st.text("aA0._-/~: %", max_size=20))
def test_no_other_names(text: str) -> None:
    error = refusal(lambda: parse_name(text))
    assert (error is None) == bool(re.fullmatch(SPEC_NAME, text))
    assert error is None or error.code is Code.NAME_INVALID


@given(st.one_of(st.from_regex(SPEC_TAG, fullmatch=True), st.text(max_size=130)))
def test_tags(text: str) -> None:
    assert is_tag(text) == bool(re.fullmatch(SPEC_TAG, text))


@given(st.text("abcdef0123456789:sha/.-_\n", max_size=90))
def test_references_never_crash(text: str) -> None:
    error = refusal(lambda: parse_reference(text))
    assert error.status == 400 if error else str(parse_reference(text)) == text


@given(
    names,
    st.sampled_from([
        ("/blobs/uploads/", Kind.UPLOADS, ""), ("/blobs/uploads/some-id", Kind.UPLOAD, "some-id"),
        ("/blobs/" + DIGEST, Kind.BLOB, DIGEST), ("/manifests/latest", Kind.MANIFEST, "latest"),
        ("/tags/list", Kind.TAGS, ""), ("/referrers/" + DIGEST, Kind.REFERRERS, DIGEST),
    ]),
)  # fmt: skip
def test_urls(name: str, end: tuple[str, Kind, str]) -> None:
    target = parse_target(f"/v2/{name}{end[0]}")
    assert target is not None
    assert (target.kind, target.name, target.rest) == (end[1], name, end[2])


def test_names_that_look_like_endpoints() -> None:
    for name in ("blobs/uploads", "a/manifests/b", "tags/list", "x/tags", "_catalog/x"):
        if name.startswith("_"):
            with pytest.raises(DistributionError):
                parse_target(f"/v2/{name}/manifests/t")
            continue
        target = parse_target(f"/v2/{name}/manifests/t")
        assert target is not None
        assert target.name == name
    assert parse_target("/v2/what/is/this") is None


@given(st.integers(0, 10**6), st.one_of(st.none(), st.integers(0, 10**6)), st.integers(0, 10**6))
def test_ranges(first: int, last: int | None, size: int) -> None:
    header = f"bytes={first}-{'' if last is None else last}"
    expected = range(size)[first : None if last is None else last + 1]
    if last is not None and last < first:
        assert parse_range(header, size) is None
    elif not expected:
        with pytest.raises(Unsatisfiable):
            parse_range(header, size)
    else:
        assert parse_range(header, size) == ByteRange(expected[0], expected[-1])


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_last_bytes(count: int, size: int) -> None:
    expected = range(size)[-count:] if count else range(0)
    if not expected:
        with pytest.raises(Unsatisfiable):
            parse_range(f"bytes=-{count}", size)
    else:
        assert parse_range(f"bytes=-{count}", size) == ByteRange(expected[0], expected[-1])


@given(st.text("bytes=-0123456789, \u0663", max_size=25), st.integers(0, 100))
def test_any_range_is_answered(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except Unsatisfiable:
        return
    assert found is None or 0 <= found.first <= found.last < size


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_content_ranges(first: int, last: int) -> None:
    for header in (f"{first}-{last}", f"bytes {first}-{last}/*"):
        if last < first:
            with pytest.raises(Malformed):
                parse_content_range(header)
        else:
            assert parse_content_range(header) == ByteRange(first, last)


@pytest.mark.parametrize("header", ["", "-", "1-", "-1", "a-b", "0-9;x", "9" * 30 + "-1", "٣-٤"])
def test_malformed_content_ranges(header: str) -> None:
    with pytest.raises(Malformed):
        parse_content_range(header)


@given(st.lists(st.tuples(names, st.sampled_from(Action)), max_size=5))
def test_scopes_there_and_back(needs: list[tuple[str, Action]]) -> None:
    text = format_scopes([Need(name, action) for name, action in needs])
    assert parse_scopes([text]) == {(name, action.value) for name, action in needs}


@given(st.lists(st.text(max_size=50), max_size=3))
def test_any_scope_is_read(texts: list[str]) -> None:
    for name, action in parse_scopes(texts):
        assert name
        assert action


@given(st.text(max_size=60))
def test_any_authorization_is_read(header: str) -> None:
    parse_basic(header)
    parse_basic("Basic " + header)


def test_rights_by_pattern() -> None:
    policy = Policy(
        [
            parse_rule(["anonymous"], ["public/**"], ["pull"]),
            parse_rule(["*"], ["{user}/**"], ["*"]),
            parse_rule(["ann", "bob"], ["team/*"], ["pull", "push"]),
        ]
    )
    for user, name, action, expected in [
        ("", "public/a/b", Action.PULL, True), ("", "public/a", Action.PUSH, False),
        ("", "/x", Action.PULL, False), ("ann", "ann/x", Action.DELETE, True),
        ("ann", "bob/x", Action.PULL, False), ("ann", "team/x", Action.PUSH, True),
        ("ann", "team/x/y", Action.PUSH, False), ("eve", "team/x", Action.PULL, False),
        ("a.c", "abc/x", Action.PULL, False), ("ann", "public/a", Action.PULL, False),
    ]:  # fmt: skip
        assert policy.may(user, name, action) is expected, (user, name, action)
    assert policy.has_anonymous
    with pytest.raises(InvalidArgument, match="unknown right"):
        parse_rule(["a"], ["b"], ["admin"])


@given(st.binary(max_size=300), st.sampled_from(["", OCI_MANIFEST, OCI_INDEX, "a/b", "no type"]))
def test_any_manifest_is_read(data: bytes, media_type: str) -> None:
    error = refusal(lambda: parse(media_type, data))
    assert error is None or error.code is Code.MANIFEST_INVALID
    assert DIGEST in reread(media_type, data + b'"' + DIGEST.encode() + b'"').references


def test_durations_and_sizes() -> None:
    assert parse_duration("1h30m") == 5400
    assert parse_duration("250ms") == 0.25
    assert parse_size("4m") == parse_size("4MiB") == 4 << 20
    for text in ("", "5", "m", "-1s", "1y"):
        with pytest.raises(InvalidArgument):
            parse_duration(text)
    for text in ("", "x", "-1", "1.5m"):
        with pytest.raises(InvalidArgument):
            parse_size(text)


def test_addresses() -> None:
    assert parse_address(":5000") == ("", 5000)
    assert parse_address("[::1]:80") == ("::1", 80)
    for text in ("5000", "host", "a:b", "a:70000", ""):
        with pytest.raises(InvalidArgument):
            parse_address(text)
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert not is_loopback("")
    assert not is_loopback("0.0.0.0")


def test_a_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("word\n")
    file = tmp_path / "registry.toml"
    file.write_text("""
        listen = [":5000", "[::1]:5001"]
        root = "content"
        manifest-limit = "1m"
        [tls]
        cert = "cert.pem"
        key = "/etc/key.pem"
        [auth]
        htpasswd = "users"
        [[access]]
        users = ["anonymous"]
        repositories = ["**"]
        rights = ["pull"]
        [mirror]
        upstream = "registry-1.docker.io"
        password-file = "secret"
        ttl = "1m"
        [gc]
        grace = "2h"
    """)
    config = load(file, {"listen": ["127.0.0.1:0"], "gc": {"interval": "1h"}})
    assert config.listen == ("127.0.0.1:0",)
    assert config.root == tmp_path / "content"
    assert config.tls is not None
    assert (config.tls.cert, config.tls.key) == (tmp_path / "cert.pem", Path("/etc/key.pem"))
    assert config.mirror is not None
    assert (config.mirror.upstream, config.mirror.password) == (
        "https://registry-1.docker.io",
        "word",
    )
    assert "word" not in repr(config)
    assert (config.retention.grace_s, config.gc_interval_s) == (7200, 3600)
    assert config.manifest_limit == 1 << 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lisen = []", "unknown key lisen"),
        ("[auth]\ntoken = 3", "auth.token is not a table"),
        ("[tls]\ncert = 'a'", "tls.key is missing"),
        ("listen = 'x'", "listen is not a list"),
        ("[auth]\ntokens = true", "htpasswd file"),
        ("log-format = 'xml'", "unknown log format"),
        ("[[access]]\nusers=['a']\nrepositories=['b']\nrights=['pull']", "need users"),
        ("[mirror]\nupstream = 'ftp://x'", "invalid upstream"),
        ("= 3", "registry.toml"),
    ],
)
def test_faults_of_a_configuration(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "registry.toml"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=message):
        load(file, {})


@given(st.text(string.printable, max_size=60))
def test_any_configuration_is_read_or_refused(text: str) -> None:
    import tomllib

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        load(None, raw)
    except InvalidArgument:
        pass
