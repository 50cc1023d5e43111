"""References: Docker's grammar, defaults, familiar form and error texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.spec.digest import Digest
from tiffin.spec.reference import Reference, as_image_id, parse_reference, parse_tag

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("ubuntu:22.04", "docker.io/library/ubuntu:22.04", "ubuntu:22.04"),
        ("library/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("docker.io/ubuntu", "docker.io/library/ubuntu", "ubuntu"),
        ("index.docker.io/a/b", "docker.io/a/b", "a/b"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/x", "localhost/x", "localhost/x"),
        ("localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"),
        ("[::1]:5000/x", "[::1]:5000/x", "[::1]:5000/x"),
        ("Reg/x", "Reg/x", "Reg/x"),
        ("quay.io/a__b/c-d.e", "quay.io/a__b/c-d.e", "quay.io/a__b/c-d.e"),
        (f"x@sha256:{HEX}", f"docker.io/library/x@sha256:{HEX}", f"x@sha256:{HEX}"),
        (f"x:1@sha256:{HEX}", f"docker.io/library/x:1@sha256:{HEX}", f"x:1@sha256:{HEX}"),
    ],
)
def test_normalises(text: str, canonical: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == canonical
    assert reference.familiar == familiar
    assert parse_reference(familiar) == reference


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("a/Foo:X", "invalid reference format: repository name (a/Foo) must be lowercase"),
        ("foo:", "invalid reference format"),
        ("foo bar", "invalid reference format"),
        ("-foo", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("foo/", "invalid reference format"),
        ("foo\n", "invalid reference format"),
        ("foo:ü", "invalid reference format"),
        (
            HEX,
            f"invalid repository name ({HEX}), cannot specify 64-byte hexadecimal strings",
        ),
        ("x" * 300, "repository name must not be more than 255 characters"),
        (f"x@sha256:{'a' * 32}", f"invalid checksum digest length: 'sha256:{'a' * 32}'"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_reference(text)
    assert str(caught.value) == message


def test_defaults_and_changes() -> None:
    bare = parse_reference("a/b")
    assert bare.is_bare
    assert bare.with_default_tag().familiar == "a/b:latest"
    digest = Digest(f"sha256:{HEX}")
    assert bare.with_tag("x").with_digest(digest).familiar == f"a/b@{digest}"
    assert bare.with_digest(digest).with_default_tag().tag == ""
    assert bare.with_tag("x").bare() == bare
    with pytest.raises(InvalidArgument, match="invalid tag format"):
        parse_tag("a/b")


def test_image_ids() -> None:
    assert as_image_id(HEX) == as_image_id(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert as_image_id(HEX[:12]) is None
    assert as_image_id("ubuntu") is None


_component = st.from_regex(r"\A[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}\Z")
_domain = st.sampled_from(["docker.io", "localhost", "localhost:5000", "r.example.com", "[::1]:5"])
_references = st.builds(
    Reference,
    domain=_domain,
    path=st.lists(_component, min_size=2, max_size=4).map("/".join),
    tag=st.just("") | st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z"),
    digest=st.just(Digest("")) | st.just(Digest(f"sha256:{HEX}")),
)


@given(_references)
def test_round_trip(reference: Reference) -> None:
    assert parse_reference(str(reference)) == reference
    first = reference.path.partition("/")[0]
    if "." not in first and first != "localhost":
        assert parse_reference(reference.familiar) == reference


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidArgument:
        return
    assert parse_reference(str(reference)) == reference
