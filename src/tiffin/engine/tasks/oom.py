"""Hears in the event loop of tasks for which the kernel ran out of memory."""

import asyncio
import logging
from collections.abc import Callable

from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.oom import OomNotices

log = logging.getLogger(__name__)


class OomWatch:
    """Calls back, from the first watched task on until `close`."""

    def __init__(self) -> None:
        self._notices: OomNotices | None = None
        self._callbacks: dict[object, Callable[[], None]] = {}

    def watch(self, task: object, group: Group, notify: Callable[[], None]) -> bool:
        """Call `notify` whenever it happens; return whether it has happened already."""
        if self._notices is None:
            self._notices = OomNotices()
            asyncio.get_running_loop().add_reader(self._notices.fileno(), self._on_ready)
        try:
            happened = self._notices.watch(task, group)
        except OSError as error:
            # Without a memory controller nothing is limited; and a task may have ended by now.
            log.debug("%s: no notice of memory running out: %s", group.path, error)
            return False
        self._callbacks[task] = notify
        return happened

    def forget(self, task: object) -> None:
        """Watch it no more."""
        if self._callbacks.pop(task, None) is not None and self._notices is not None:
            self._notices.forget(task)

    def close(self) -> None:
        """Stop hearing."""
        if self._notices is not None:
            asyncio.get_running_loop().remove_reader(self._notices.fileno())
            self._notices.close()
            self._notices = None

    def _on_ready(self) -> None:
        assert self._notices is not None
        for task in self._notices.ready():
            notify = self._callbacks.get(task)
            if notify is not None:
                notify()
