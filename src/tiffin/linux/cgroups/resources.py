"""Whether limits have the shape that the specification gives them (config-linux, "Control groups")."""

from collections.abc import Mapping
from typing import Any

from tiffin.linux.cgroups.group import Resources

_INTEGER, _TEXT, _FLAG = (int,), (str,), (bool,)
_Shape = Mapping[str, Any]
"""Members: a tuple of types, a shape for an object, a list of one shape for an array of objects."""

_DEVICE: _Shape = {"major": _INTEGER, "minor": _INTEGER}
_RATES = [{**_DEVICE, "rate": _INTEGER}]
_SHAPE: _Shape = {
    "memory": {
        **dict.fromkeys(("limit", "reservation", "swap", "kernelTCP", "swappiness"), _INTEGER),
        "disableOOMKiller": _FLAG,
    },
    "cpu": {
        **dict.fromkeys(
            ("shares", "quota", "burst", "period", "realtimeRuntime", "realtimePeriod", "idle"),
            _INTEGER,
        ),
        "cpus": _TEXT,
        "mems": _TEXT,
    },
    "pids": {"limit": _INTEGER},
    "blockIO": {
        "weight": _INTEGER,
        "weightDevice": [{**_DEVICE, "weight": _INTEGER}],
        "throttleReadBpsDevice": _RATES,
        "throttleWriteBpsDevice": _RATES,
        "throttleReadIOPSDevice": _RATES,
        "throttleWriteIOPSDevice": _RATES,
    },
    "hugepageLimits": [{"pageSize": _TEXT, "limit": _INTEGER}],
    "network": {
        "classID": _INTEGER,
        "priorities": [{"name": _TEXT, "priority": _INTEGER}],
    },
    "devices": [{}],
    "unified": {},
}


def check(resources: Resources) -> None:
    """Raise ValueError, naming the member, for what is not as specified; null counts as absent."""
    _check_object(resources, _SHAPE, "resources")


def _check_object(value: object, shape: _Shape, name: str, *, complete: bool = False) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be an object")
    for key, kind in shape.items():
        member = value.get(key)
        if member is not None:
            _check(member, kind, f"{name}.{key}")
        elif complete:
            raise ValueError(f"{name}.{key} must be given")


def _check(value: object, kind: Any, name: str) -> None:  # noqa: ANN401  # see _Shape
    if isinstance(kind, tuple):
        if not isinstance(value, kind) or (kind is _INTEGER and isinstance(value, bool)):
            words = {_INTEGER: "an integer", _TEXT: "a string", _FLAG: "true or false"}[kind]
            raise ValueError(f"{name} must be {words}")
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise ValueError(f"{name} must be an array")
        for at, item in enumerate(value):
            _check_object(item, kind[0], f"{name}[{at}]", complete=True)
    else:
        _check_object(value, kind, name)
