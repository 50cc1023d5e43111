"""Tells of groups that ran out of memory, when they do, through one descriptor to poll.

v1 writes to an eventfd when the limit is hit and nothing can be reclaimed (memory.txt §10); v2 tells
whoever polls `memory.events` of any change in it, so that the count of kills has to be compared.
"""

import os
import select
from dataclasses import dataclass

from tiffin.linux.cgroups.group import Group, OomNotice


@dataclass(slots=True)
class _Watched:
    """A group whose kills are counted."""

    key: object
    group: Group
    notice: OomNotice
    kills: int = 0


class OomNotices:
    """Watches any number of groups; `ready` is due when `fileno` is readable."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._by_fd: dict[int, _Watched] = {}
        self._by_key: dict[object, int] = {}

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._epoll.fileno()

    def watch(self, key: object, group: Group) -> bool:
        """Watch a group under a name; return whether it has happened already. OSError."""
        notice = group.open_oom_notice()
        self._epoll.register(notice.fd, notice.event)
        watched = _Watched(key, group, notice)
        self._by_fd[notice.fd] = watched
        self._by_key[key] = notice.fd
        _settle(notice.fd)
        watched.kills = group.oom_kills()
        return watched.kills > 0

    def forget(self, key: object) -> None:
        """Watch it no more."""
        fd = self._by_key.pop(key, -1)
        if fd >= 0:
            del self._by_fd[fd]
            self._epoll.unregister(fd)
            os.close(fd)

    def ready(self) -> list[object]:
        """Return the names of those that it happened to since the last call. Never blocks."""
        found: list[object] = []
        for fd, _event in self._epoll.poll(0):
            watched = self._by_fd[fd]
            if not os.path.exists(watched.notice.file):
                self.forget(watched.key)
                continue
            _settle(fd)
            kills = watched.group.oom_kills()
            # v1 tells before the kill, and where nothing may be killed at all.
            if watched.notice.event == select.EPOLLIN or kills > watched.kills:
                found.append(watched.key)
            watched.kills = kills
        return found

    def close(self) -> None:
        """Let go of everything."""
        for key in tuple(self._by_key):
            self.forget(key)
        self._epoll.close()


def _settle(fd: int) -> None:
    """Read what there is, so that only what happens from now on is told."""
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        os.read(fd, 4096)
    except OSError:  # an eventfd that nothing was written to, or the group is gone
        return
