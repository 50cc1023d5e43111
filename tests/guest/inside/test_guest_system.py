"""The guest is what it is meant to be."""

from tiffin.linux.cgroups.layout import detect
from tiffin.linux.cgroups.support import read_support


def test_only_v2() -> None:
    layout = detect()
    assert layout.version == 2
    assert layout.v1 == {}
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(layout.controllers)
    support = read_support(layout)
    assert support.swap
    assert not support.cpu_realtime
    assert support.read_bps
