"""Runs the command line of an OCI runtime's binary, and finds out why it failed.

The words are runc's (man 8 runc), which crun, youki, runsc and others follow.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tiffin.linux import mount_api, syscalls
from tiffin.linux.cgroups.layout import Layout
from tiffin.linux.mount_api import MNT_DETACH, MS_PRIVATE
from tiffin.linux.syscalls import CLONE_NEWNS
from tiffin.runtime.executable import NotExecutable, find, lowered
from tiffin.runtime.operation import Failed, Place
from tiffin.runtime.process_operations import ResetSignals
from tiffin.runtime.runtime import Stdio

NOWHERE = Stdio(-1, -1, -1)
_LONGEST_ERROR = 4096


@dataclass(frozen=True, slots=True)
class Binary:
    """A runtime as the user configured it: `--runtime` name, program, arguments that go first."""

    name: str
    path: str
    arguments: tuple[str, ...] = ()


class OciError(Exception):
    """The runtime failed; the message is its own."""


class Command:
    """The command line of one container, which has its state in the directory `place`.

    On a hybrid host the runtime gets to see the v1 hierarchies alone: crun refuses to work
    with controllers in both, and runc would make groups in v2 that limit nothing.
    """

    def __init__(self, binary: Binary, place: Path, layout: Layout) -> None:
        self._binary = binary
        self._place = place
        self._log = place / "log.json"
        hides = layout.version == 1 and layout.unified
        self._hidden = layout.unified if hides else ""

    def run(
        self,
        *words: str,
        stdio: Stdio = NOWHERE,
        prepare: Callable[[], None] | None = None,
    ) -> list[str]:
        """Run one command to its end and return its warnings; OciError with what it says.

        `prepare` is called in the command's own mount namespace before its program is executed.
        """
        self._log.unlink(missing_ok=True)
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._become(words, stdio, prepare, write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as errors:
            obstacle = errors.read(_LONGEST_ERROR).decode(errors="replace")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if obstacle:
            raise OciError(obstacle)
        told = self._told()
        if code:
            raise OciError(self._reason(code, told))
        return [text for level, text in told if level == "warning"]

    def line(self, *words: str) -> list[str]:
        """Return the whole command line but for the program."""
        root = self._place / "state"
        common = ("--root", str(root), "--log", str(self._log), "--log-format", "json")
        return [*self._binary.arguments, *common, *words]

    def _become(
        self, words: tuple[str, ...], stdio: Stdio, prepare: Callable[[], None] | None, errors: int
    ) -> NoReturn:
        try:
            ResetSignals().execute(Place(_ignore))
            path = find(self._binary.path, [f"PATH={os.environ.get('PATH', os.defpath)}"])
            self._separate()
            if prepare is not None:
                prepare()
            _take(stdio)
            os.execve(path, [self._binary.path, *self.line(*words)], dict(os.environ))
        except NotExecutable as error:
            # As containerd words it, from which clients derive exit codes.
            missing = f"open {self._log}: no such file or directory"
            reason = f"unable to retrieve OCI runtime error ({missing}): {error}"
        except (Failed, OSError) as error:
            reason = lowered(error) if isinstance(error, OSError) else str(error)
            if isinstance(error, OSError) and error.filename:
                reason += f" ({error.filename})"
        except BaseException as error:  # noqa: BLE001  # must not go on in the parent's code
            reason = f"{type(error).__name__}: {error}"
        os.write(errors, reason.encode(errors="surrogateescape")[:_LONGEST_ERROR])
        os._exit(1)

    def _separate(self) -> None:
        """Enter a mount namespace that ends with the command, but for what it makes of it."""
        syscalls.unshare(CLONE_NEWNS)
        if self._hidden:
            mount_api.mount("", os.path.dirname(self._hidden), "", MS_PRIVATE)
            mount_api.umount2(self._hidden, MNT_DETACH)

    def _told(self) -> list[tuple[str, str]]:
        """Return (level, message) of each line of the log."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                found.append((str(entry.get("level")), str(entry.get("msg"))))
        return found

    def _reason(self, code: int, told: list[tuple[str, str]]) -> str:
        errors = [text for level, text in told if level in ("error", "fatal", "panic")]
        if errors:
            return errors[-1].strip()
        how = f"exit status {code}" if code > 0 else f"signal {-code}"
        return f"{self._binary.name} did not say why it failed ({how})"


def _take(stdio: Stdio) -> None:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    wanted = [fd if fd >= 0 else null for fd in (stdio.stdin, stdio.stdout, stdio.stderr)]
    # First out of the way of the numbers that they are to have.
    wanted = [os.dup(fd) if fd < 3 else fd for fd in wanted]
    for number, fd in enumerate(wanted):
        os.dup2(fd, number, inheritable=True)


def _ignore(_: str) -> None:
    return
