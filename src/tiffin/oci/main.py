"""Entry point of `tiffin-runtime`: the words of runc (man 8 runc) and its ways to fail.

Commands that put a process into a container run from a sealed copy of the interpreter, like the
spawner (`shim/sealed.py`). What a command does not need is not imported: the start of this program
is paid for by each container and each exec.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

ENTERING = frozenset({"create", "run", "exec", "restore"})
"""Commands after which /proc/self/exe of a process in a container was this program's."""

_TAKING_A_VALUE = frozenset({"root", "log", "log-format", "criu", "rootless"})
_PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from tiffin.shim.lean import defer; defer('inspect'); "
    "from tiffin.oci.main import go_on; go_on(sys.argv[1:])"
)


def main() -> NoReturn:
    """Run the command of `sys.argv`."""
    arguments = sys.argv[1:]
    if command_of(arguments) in ENTERING and not is_sealed():
        _seal(arguments)
    from tiffin.shim.lean import defer  # before anything imports dataclasses

    defer("inspect")
    go_on(arguments)


def go_on(arguments: Sequence[str]) -> NoReturn:
    """Run the command in this process, and end."""
    from tiffin.oci.command import execute

    code = execute(arguments)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # whoever was to read has gone
            continue
    # Nothing is left to be torn down that the kernel does not tear down faster.
    os._exit(code)


def command_of(arguments: Sequence[str]) -> str:
    """Return the first word that is neither a global flag nor the value of one."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if "=" not in word and word.lstrip("-") in _TAKING_A_VALUE:
            next(words, None)
    return ""


def is_sealed() -> bool:
    """Tell whether the program runs from an anonymous copy."""
    return os.readlink("/proc/self/exe").startswith("/memfd:")


def _seal(arguments: Sequence[str]) -> None:
    """Execute this program once more, from a sealed copy of the interpreter."""
    from tiffin.shim.sealed import interpreter_path, library_path, sealed_copy

    interpreter = interpreter_path()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    words = [interpreter, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, root, *arguments]
    copy = sealed_copy(os.path.realpath(interpreter))
    os.execve(f"/proc/self/fd/{copy}", words, {**os.environ, **library_path()})


if __name__ == "__main__":
    main()
