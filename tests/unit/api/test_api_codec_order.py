"""Members stand in Docker's order: people compare what inspect prints."""

import json

from tiffin.api import codec
from tiffin.api.types.containers import GraphDriver
from tiffin.api.types.host_config import HostConfig


def test_limits_stand_where_go_embeds_them() -> None:
    names = list(json.loads(codec.encode(HostConfig())))
    assert names[:3] == ["Binds", "ContainerIDFile", "LogConfig"]
    start = names.index("Isolation")
    assert names[start : start + 3] == ["Isolation", "CpuShares", "Memory"]
    assert names[-2:] == ["MaskedPaths", "ReadonlyPaths"]
    assert len(names) == len(set(names))
    assert list(json.loads(codec.encode(GraphDriver()))) == ["Data", "Name"]
