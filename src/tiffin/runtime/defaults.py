"""What every container has, whatever its configuration says: devices, links, rules of access."""

from tiffin.runtime.config import Device
from tiffin.runtime.config_reader import JsonObject

DEFAULT_DEVICES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)
DEFAULT_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
# What a container may always use: making nodes (useless without access), the devices above, ptys.
_DEFAULT_DEVICE_RULES: tuple[JsonObject, ...] = (
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": item.major, "minor": item.minor, "access": "rwm"}
        for item in (*DEFAULT_DEVICES, Device("/dev/ptmx", "c", 5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
)


def default_device_rules() -> tuple[JsonObject, ...]:
    """Return the rules that are added to those of the configuration."""
    return _DEFAULT_DEVICE_RULES
