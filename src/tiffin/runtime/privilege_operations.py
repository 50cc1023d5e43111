"""Operations that give up, for good, what the user's process may not: identity, capabilities, filter.

They run inside the container's root, in the order of the planner, after all that needs privileges.
"""

import os
from dataclasses import dataclass

from tiffin.linux import capabilities, syscalls
from tiffin.linux.syscalls import (
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
)
from tiffin.runtime.config_process import Capabilities, User
from tiffin.runtime.executable import lowered
from tiffin.runtime.operation import Failed, Place


@dataclass(frozen=True, slots=True)
class LimitCapabilities:
    """Drop from the bounding set what no program in the container may ever regain."""

    bounding: tuple[str, ...]

    def describe(self) -> str:
        """See `Operation`."""
        return f"rule out all but {len(self.bounding)} capabilities for good"

    def call(self) -> str:
        """See `Operation`."""
        return f"prctl(PR_CAPBSET_DROP, all but {', '.join(self.bounding) or 'none'})"

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        unknown = [name for name in self.bounding if name not in capabilities.BITS]
        if unknown:
            place.warn(f"unknown capabilities were ignored: {', '.join(unknown)}")
        capabilities.limit_bounding(capabilities.mask(self.bounding))


@dataclass(frozen=True, slots=True)
class SetIdentity:
    """Become the user, keeping the capabilities for the steps after this."""

    user: User

    def describe(self) -> str:
        """See `Operation`."""
        return f"become user {self.user.uid}, group {self.user.gid}"

    def call(self) -> str:
        """See `Operation`."""
        user = self.user
        groups = ", ".join(map(str, user.additional_gids))
        return (
            f"prctl(PR_SET_KEEPCAPS, 1); setgroups({{{groups}}}); "
            f"setresgid({user.gid}); setresuid({user.uid})"
        )

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        user = self.user
        syscalls.prctl(PR_SET_KEEPCAPS, 1)
        try:
            os.setgroups(user.additional_gids)
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        except OSError as error:
            raise Failed(f"setup user {user.uid}:{user.gid}: {lowered(error)}") from None
        syscalls.prctl(PR_SET_KEEPCAPS, 0)


@dataclass(frozen=True, slots=True)
class SetCapabilities:
    """Set the capability sets; `extra` is held on to for one more step."""

    sets: Capabilities
    extra: str = ""

    def describe(self) -> str:
        """See `Operation`."""
        if self.extra:
            return f"keep only the configured capabilities, and {self.extra} for one more step"
        return "keep only the configured capabilities"

    def call(self) -> str:
        """See `Operation`."""
        names = ", ".join((*self.sets.permitted, *((self.extra,) if self.extra else ())))
        return f"capset({names or 'none'})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        sets, extra = self.sets, capabilities.mask((self.extra,))
        held, bounding = capabilities.held(), capabilities.mask(sets.bounding)
        permitted = capabilities.mask(sets.permitted) & held
        effective = capabilities.mask(sets.effective) & permitted
        inheritable = capabilities.mask(sets.inheritable) & (bounding | held)
        syscalls.capset(effective | extra, permitted | extra, inheritable)
        ambient = capabilities.mask(sets.ambient) & permitted & inheritable
        capabilities.set_ambient(ambient)


@dataclass(frozen=True, slots=True)
class DropExtra:
    """Give up the capability that was held on to."""

    sets: Capabilities

    def describe(self) -> str:
        """See `Operation`."""
        return "give up the capability that was needed for the filter"

    def call(self) -> str:
        """See `Operation`."""
        return f"capset({', '.join(self.sets.permitted) or 'none'})"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        sets = self.sets
        effective, permitted, inheritable = syscalls.capget()
        keep = capabilities.mask(sets.permitted)
        syscalls.capset(
            effective & capabilities.mask(sets.effective), permitted & keep, inheritable
        )


@dataclass(frozen=True, slots=True)
class NoNewPrivileges:
    """Have set-user-ID files and file capabilities give nothing."""

    def describe(self) -> str:
        """See `Operation`."""
        return "let no program gain privileges by being executed"

    def call(self) -> str:
        """See `Operation`."""
        return "prctl(PR_SET_NO_NEW_PRIVS, 1)"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        syscalls.prctl(PR_SET_NO_NEW_PRIVS, 1)


@dataclass(frozen=True, slots=True)
class LoadFilter:
    """Load the system call filter."""

    program: bytes
    flags: int = SECCOMP_FILTER_FLAG_SPEC_ALLOW

    def describe(self) -> str:
        """See `Operation`."""
        return "let through only the system calls of the profile"

    def call(self) -> str:
        """See `Operation`."""
        count = len(self.program) // 8
        return f"seccomp(SECCOMP_SET_MODE_FILTER, {self.flags:#x}, {count} instructions)"

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            syscalls.seccomp(self.program, self.flags)
        except OSError as error:
            raise Failed(f"unable to load the seccomp filter: {lowered(error)}") from None
