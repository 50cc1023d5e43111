"""Mount option words."""

from hypothesis import given
from hypothesis import strategies as st

from tiffin.linux import mount_options
from tiffin.linux.mount_api import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
)
from tiffin.linux.mounts import split_lowerdir


def test_words_become_attributes() -> None:
    options = mount_options.parse(("nosuid", "noexec", "nodev", "ro"))
    assert options.set_ == (
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY
    )
    assert options.parameters == ()
    assert not options.bind


def test_the_last_of_contradicting_words_wins() -> None:
    options = mount_options.parse(("ro", "nosuid", "rw"))
    assert options.set_ == MOUNT_ATTR_NOSUID
    assert options.clear == MOUNT_ATTR_RDONLY
    assert mount_options.parse(("rw", "ro")).set_ == MOUNT_ATTR_RDONLY


def test_access_times_replace_one_another() -> None:
    options = mount_options.parse(("noatime", "strictatime"))
    assert options.set_ & MOUNT_ATTR__ATIME == MOUNT_ATTR_STRICTATIME
    assert options.clear & MOUNT_ATTR__ATIME == MOUNT_ATTR__ATIME
    assert mount_options.parse(("noatime",)).set_ == MOUNT_ATTR_NOATIME


def test_binds_and_propagation() -> None:
    options = mount_options.parse(("rbind", "rprivate"))
    assert options.bind
    assert options.recursive
    assert options.propagation == ((MS_PRIVATE, True),)
    assert not mount_options.parse(("bind",)).recursive
    assert mount_options.parse(("shared", "rslave")).propagation == (
        (MS_SHARED, False),
        (MS_SLAVE, True),
    )


def test_a_leading_r_is_for_the_whole_tree() -> None:
    options = mount_options.parse(("rro", "rnosuid"))
    assert options.tree_set == MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID
    assert options.set_ == 0


def test_relatime_is_not_a_recursive_elatime() -> None:
    options = mount_options.parse(("relatime",))
    assert options.parameters == ()
    assert options.tree_set == 0


def test_the_rest_goes_to_the_filesystem() -> None:
    options = mount_options.parse(("size=64k", "mode=1777", "newinstance", "defaults", "x=a=b"))
    assert options.parameters == (
        ("size", "64k"),
        ("mode", "1777"),
        ("newinstance", None),
        ("x", "a=b"),
    )
    assert mount_options.is_parameter("size=1")
    assert not mount_options.is_parameter("ro")


WORDS = st.sampled_from(["ro", "rw", "nosuid", "suid", "noatime", "relatime", "rro", "rrw", "dev"])


@given(st.lists(WORDS))
def test_no_bit_is_both_set_and_cleared(words: list[str]) -> None:
    options = mount_options.parse(tuple(words))
    assert options.set_ & options.clear & ~MOUNT_ATTR__ATIME == 0
    assert options.tree_set & options.tree_clear & ~MOUNT_ATTR__ATIME == 0


DIRECTORIES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)


@given(st.lists(DIRECTORIES, min_size=1))
def test_lowerdir_escapes_round_trip(directories: list[str]) -> None:
    text = ":".join(item.replace("\\", "\\\\").replace(":", "\\:") for item in directories)
    assert split_lowerdir(text) == directories
