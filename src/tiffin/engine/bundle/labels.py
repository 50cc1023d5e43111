"""Profiles of the kernel's security modules, where it has them.

AppArmor confines a program by the profile that is named when it is executed. Without AppArmor the
option has no effect, as in Docker. SELinux labels need `selinux-enabled`, which is not offered, so
that `label=` has no effect either, as in a Docker daemon without it.
"""

import functools
from pathlib import Path

UNCONFINED = "unconfined"
DEFAULT_PROFILE = "docker-default"
"""What confines containers that say nothing, if the administrator has loaded it."""

_MODULE = "module/apparmor/parameters/enabled"
_SECURITY = "kernel/security/apparmor"


@functools.cache
def has_apparmor(sysfs: Path = Path("/sys")) -> bool:
    """Tell whether the kernel confines programs by AppArmor."""
    try:
        return (sysfs / _MODULE).read_text().startswith("Y") and (sysfs / _SECURITY).is_dir()
    except OSError:
        return False


def apparmor_profile(asked: str, *, privileged: bool, sysfs: Path = Path("/sys")) -> str:
    """Return the profile of a container's programs, "" for none."""
    if not has_apparmor(sysfs):
        return ""
    if asked or privileged:
        return asked or UNCONFINED
    return DEFAULT_PROFILE if _is_loaded(DEFAULT_PROFILE, sysfs) else ""


def _is_loaded(profile: str, sysfs: Path) -> bool:
    try:
        lines = (sysfs / _SECURITY / "profiles").read_text().splitlines()
    except OSError:
        return False
    return any(line.rpartition(" ")[0] == profile for line in lines)
