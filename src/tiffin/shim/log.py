"""The log of a task, as its shim writes it."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.logs import select
from tiffin.logs.driver import LogDriver
from tiffin.shim.daemons import describe
from tiffin.shim.loop import Loop
from tiffin.shim.protocol import Create

if TYPE_CHECKING:
    from tiffin.shim.log_relay import LogRelay


class Log:
    """The log driver behind one that never fails: what cannot be written is counted as lost.

    With `relay`, output goes to a log server too, and `driver` keeps the copy that can be read.
    """

    def __init__(
        self, driver: LogDriver, clock: Callable[[], int], relay: "LogRelay | None" = None
    ) -> None:
        self._driver = driver
        self._clock = clock
        self._relay = relay
        self.error = ""

    def write(self, name: str, portion: memoryview) -> None:
        """Take output."""
        data, now_ns = bytes(portion), self._clock()
        try:
            self._driver.write(name, data, now_ns)
        except OSError as error:
            self.error = f"write log: {error}"
        if self._relay is not None:
            self._relay.write(name, now_ns, data)

    def hold_up(self, relieved: Callable[[], None]) -> bool:
        """Whether the process should wait; `relieved` is called when it need not any longer."""
        return self._relay is not None and self._relay.hold_up(relieved)

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed and opened again."""
        return self._driver.is_idle and (self._relay is None or self._relay.is_idle)

    @property
    def relay_fd(self) -> int:
        """The descriptor that `open_log` goes on with in another process, -1 for none."""
        return -1 if self._relay is None else self._relay.fileno()

    def close(self) -> None:
        """Write what is pending and close."""
        try:
            self._driver.close()
        except OSError as error:
            self.error = f"close log: {error}"
        if self._relay is not None:
            self._relay.close()


def open_log(request: Create, loop: Loop, relay_fd: int | None = None) -> Log:
    """Open the log that a task is to have; FailedPrecondition.

    `relay_fd` is what an earlier process's log had: -1 if its relay had ended.
    """
    path, options = Path(request.log_path), request.log_options
    try:
        driver = select.writer(request.log_driver, path, options, request.log_attributes)
    except OSError as error:
        raise select.cannot_start(describe(error)) from error
    if not select.is_remote(request.log_driver) or relay_fd == -1:
        return Log(driver, time.time_ns)
    from tiffin.shim.log_relay import LogRelay, start_relay  # few containers need it

    try:
        if relay_fd is not None:
            relay = LogRelay(loop, socket.socket(fileno=relay_fd))
        else:
            relay = LogRelay(loop, *start_relay(request))
    except BaseException:
        driver.close()
        raise
    return Log(driver, time.time_ns, relay)
