"""A mount as a value: what a snapshotter or volume driver returns and the runtime performs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount(2), described but not performed.

    `fstype` is `bind`, `overlay`, `tmpfs`, … ; `options` are mount(8) words (`ro`, `rbind`,
    `nosuid`, `lowerdir=…`). `target` is relative to the place where the whole list is mounted; ""
    means that place itself.
    """

    fstype: str
    source: str
    options: tuple[str, ...] = ()
    target: str = ""
