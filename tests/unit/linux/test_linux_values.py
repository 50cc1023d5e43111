"""Capabilities, rlimits and namespaces as values."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.linux import capabilities, rlimits
from tiffin.linux.namespaces import KINDS
from tiffin.linux.pidfd import Ended
from tiffin.linux.rlimits import Rlimit


@given(st.sets(st.sampled_from(capabilities.NAMES)))
def test_capability_masks_round_trip(names: set[str]) -> None:
    assert set(capabilities.names(capabilities.mask(names))) == names


def test_capability_numbers_are_the_kernels() -> None:
    assert capabilities.mask(["CAP_CHOWN"]) == 1
    assert capabilities.BITS["CAP_SYS_ADMIN"] == 1 << 21
    assert capabilities.BITS["CAP_CHECKPOINT_RESTORE"] == 1 << 40
    assert capabilities.mask(["CAP_UNHEARD_OF"]) == 0


def test_rlimit_numbers_are_those_of_the_resource_module() -> None:
    for name, number in rlimits.NUMBERS.items():
        if hasattr(resource, name):
            assert getattr(resource, name) == number


def test_bad_rlimits_are_named() -> None:
    with pytest.raises(ValueError, match="RLIMIT_LUCK"):
        rlimits.apply(Rlimit("RLIMIT_LUCK", 1, 1))
    with pytest.raises(ValueError, match="above hard limit 1"):
        rlimits.apply(Rlimit("RLIMIT_CORE", 2, 1))


def test_each_namespace_has_its_own_flag() -> None:
    flags = [kind.flag for kind in KINDS.values()]
    assert len(set(flags)) == len(flags)
    assert sum(flags) == __import__("functools").reduce(int.__or__, flags)


def test_status_as_a_shell_counts() -> None:
    assert Ended(3).status == 3
    assert Ended(0, 9).status == 137
