"""The log of a task, as its shim writes it."""

import time
from collections.abc import Callable
from pathlib import Path

from tiffin.errors import FailedPrecondition
from tiffin.logs import select
from tiffin.logs.driver import LogDriver
from tiffin.shim.daemons import describe
from tiffin.shim.protocol import Create


class Log:
    """The log driver behind one that never fails: what cannot be written is counted as lost."""

    def __init__(self, driver: LogDriver, clock: Callable[[], int]) -> None:
        self._driver = driver
        self._clock = clock
        self.error = ""

    def write(self, name: str, portion: memoryview) -> None:
        """Take output."""
        try:
            self._driver.write(name, bytes(portion), self._clock())
        except OSError as error:
            self.error = f"write log: {error}"

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed and opened again."""
        return self._driver.is_idle

    def close(self) -> None:
        """Write what is pending and close."""
        try:
            self._driver.close()
        except OSError as error:
            self.error = f"close log: {error}"


def open_log(request: Create) -> Log:
    """Open the log that a task is to have; FailedPrecondition."""
    path, options = Path(request.log_path), request.log_options
    try:
        driver = select.writer(request.log_driver, path, options, request.log_attributes)
    except OSError as error:
        raise FailedPrecondition(
            f"failed to initialize logging driver: {describe(error)}"
        ) from error
    return Log(driver, time.time_ns)
