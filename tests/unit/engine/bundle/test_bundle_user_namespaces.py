"""The words for user namespaces and idmapped binds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.mounts import BindOptions, MountRequest
from tiffin.engine.bundle.mount_requests import parse_mount
from tiffin.engine.bundle.mount_words import parse_bind
from tiffin.engine.bundle.user_namespaces import (
    bind_mappings,
    parse_idmap,
    parse_mode,
    user_namespace_mode,
)
from tiffin.engine.bundle.users import Account
from tiffin.errors import InvalidArgument
from tiffin.spec.id_mapping import (
    NO_MAPPINGS,
    IdMapping,
    IdMappings,
    format_map,
    parse_map,
    to_container,
    to_host,
)

OWN = IdMappings((IdMapping(0, 100000, 1000),), (IdMapping(0, 200000, 1000),))


def test_modes() -> None:
    assert parse_mode("").kind == ""
    assert parse_mode("host").kind == "host"
    assert parse_mode("private") == parse_mode("auto")
    found = parse_mode("auto:size=7,uidmapping=0:1000:1,gidmapping=0:50:1")
    assert (found.size, found.uids, found.gids) == (
        7, (IdMapping(0, 1000, 1),), (IdMapping(0, 50, 1),)
    )  # fmt: skip


@given(st.text(max_size=40))
def test_any_other_mode_is_refused(text: str) -> None:
    for mode in (text, f"auto:{text}"):
        try:
            parse_mode(mode)
        except InvalidArgument:
            pass


@pytest.mark.parametrize("mode", ["hosts", "host:x", "container:x", "auto:", "auto:size=-1"])
def test_refused_modes(mode: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid USER mode"):
        parse_mode(mode)


def test_a_security_option_says_the_same() -> None:
    assert user_namespace_mode(HostConfig(security_opt=["userns=auto"])).is_own
    same = HostConfig(userns_mode="auto", security_opt=["userns=auto"])
    assert user_namespace_mode(same).is_own
    with pytest.raises(InvalidArgument, match="conflicting options"):
        user_namespace_mode(HostConfig(userns_mode="host", security_opt=["userns=auto"]))


def test_idmapped_binds() -> None:
    assert parse_bind("/a:/b:ro,idmap").idmap == ""
    assert parse_bind("/a:/b:idmap=owner").idmap == "owner"
    assert parse_bind("/a:/b").idmap is None
    request = MountRequest(
        type="bind", source="/a", target="/b", bind_options=BindOptions(id_map="owner")
    )
    assert parse_mount(request).idmap == "owner"
    for text in ("/a:/b:idmap=x", "/a:/b:idmap,idmap", "vol:/b:idmap"):
        with pytest.raises(InvalidArgument):
            parse_bind(text)


@pytest.mark.parametrize(
    "word", ["uids=0-1-1", "uids=0-1;gids=0-1-1", "uids=0-1-0;gids=0-1-1", "gids=0-0-1;gids=0-0-1"]
)
def test_refused_maps(word: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid idmap"):
        parse_idmap(word)


def test_the_owner_becomes_the_containers_user() -> None:
    found = bind_mappings("owner", (1000, 0), Account(0, 0), NO_MAPPINGS)
    assert to_host(found.uids, 1000) == 0
    assert to_host(found.uids, 0) is None  # lest root's files become somebody else's
    assert to_host(found.uids, 999) == 999
    assert to_host(found.uids, 5000) == 5000
    assert found.gids == (IdMapping(0, 0, 2**32 - 1),)
    inside = bind_mappings("owner", (1000, 1000), Account(7, 8), OWN)
    assert inside == IdMappings((IdMapping(1000, 100007, 1),), (IdMapping(1000, 200008, 1),))


def test_maps_are_taken_from_the_containers_view() -> None:
    assert bind_mappings("", (0, 0), Account(), OWN) == OWN
    explicit = bind_mappings("uids=5-6-2;gids=0-0-1", (0, 0), Account(), OWN)
    assert explicit == IdMappings((IdMapping(5, 100006, 2),), (IdMapping(0, 200000, 1),))
    with pytest.raises(InvalidArgument, match="are no ids of the container's user namespace"):
        bind_mappings("uids=0-999-2;gids=0-0-1", (0, 0), Account(), OWN)
    with pytest.raises(InvalidArgument, match="needs a container with a user namespace"):
        bind_mappings("", (0, 0), Account(), NO_MAPPINGS)


@given(st.integers(0, 2**31), st.integers(0, 2**31), st.integers(0, 2**31))
def test_no_two_owners_become_one(stored: int, shown: int, other: int) -> None:
    found = bind_mappings("owner", (stored, stored), Account(shown, shown), NO_MAPPINGS)
    assert to_host(found.uids, stored) == shown
    host = to_host(found.uids, other)
    assert host is None or to_container(found.uids, host) == other


@given(st.lists(st.builds(IdMapping, *[st.integers(0, 2**31)] * 3), max_size=5))
def test_maps_are_written_as_the_kernel_reads_them(items: list[IdMapping]) -> None:
    assert parse_map(format_map(tuple(items))) == tuple(items)


def test_ids_without_a_mapping() -> None:
    assert OWN.inside(100001, 5) == (1, 65534)
    assert OWN.outside(1, 2) == (100001, 200002)
    with pytest.raises(OSError, match="Container ID 1000 cannot be mapped to a host ID"):
        OWN.outside(1000, 0)
