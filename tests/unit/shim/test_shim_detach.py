from hypothesis import given
from hypothesis import strategies as st

from tiffin.shim.detach import DetachScanner

KEYS = st.sampled_from([b"\x10\x11", b"aa", b"aab", b"x", b"abab"])


def run(keys: bytes, portions: list[bytes]) -> tuple[bytes, bool]:
    scanner = DetachScanner(keys)
    passed = b""
    for portion in portions:
        data, detached = scanner.feed(portion)
        passed += data
        if detached:
            return passed, True
    return passed, False


@given(KEYS, st.lists(st.text("abx\x10\x11", max_size=6).map(str.encode)))
def test_portions_make_no_difference(keys: bytes, portions: list[bytes]) -> None:
    whole = b"".join(portions)
    passed, detached = run(keys, portions)
    assert detached == (keys in whole)
    if detached:
        assert passed == whole[: whole.find(keys)]
    else:
        held = whole[len(passed) :]
        assert whole.startswith(passed)
        assert keys.startswith(held)
        assert held != keys


def test_without_keys_everything_passes() -> None:
    assert run(b"", [b"\x10", b"\x11"]) == (b"\x10\x11", False)
