"""Faults of the shim itself: noted in the task's directory, and never more than a few."""

import os

from tiffin.shim import state

MAX_FAULTS = 50
"""More of them than that are not written down."""


class Faults:
    """Notes exceptions that nobody could be told of."""

    def __init__(self) -> None:
        self.directory = "/"
        """The task's; set once it is known."""
        self._count = 0

    def note(self) -> str:
        """Note the exception that is being handled; return it in one line."""
        import traceback  # next to no shim needs it

        text = traceback.format_exc()
        self.tell(text)
        return text.strip().rpartition("\n")[2]

    def tell(self, text: str) -> None:
        """Note a text."""
        if self._count < MAX_FAULTS:
            self._count += 1
            self._write(text.rstrip("\n") + "\n")

    def _write(self, text: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        try:
            fd = os.open(os.path.join(self.directory, state.FAULTS), flags, 0o600)
        except OSError:
            return  # the directory is gone: nobody is left to tell
        try:
            os.write(fd, text.encode(errors="replace"))
        finally:
            os.close(fd)
