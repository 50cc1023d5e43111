"""Opens a control group, whichever version the system has."""

from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.layout import Layout, detect


def open_group(path: str, layout: Layout | None = None) -> Group:
    """Return the group at `path` below each hierarchy's root; it need not exist yet.

    `path` is absolute or relative to the root, without `..` (ValueError).
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise ValueError(f"invalid cgroup path {path!r}")
    layout = layout or detect()
    clean = "/" + "/".join(parts)
    if layout.version == 2:
        from tiffin.linux.cgroups.v2 import GroupV2  # only one of the two is ever needed

        return GroupV2(clean, layout)
    from tiffin.linux.cgroups.v1 import GroupV1

    return GroupV1(clean, layout)
