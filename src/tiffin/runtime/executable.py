"""Finds the program in $PATH inside the container, with the words that clients know errors by.

The texts are those of Go's `os/exec.LookPath`: the Docker client derives its exit codes 126 and 127
from them.
"""

import os
import stat
from collections.abc import Sequence


class NotExecutable(Exception):
    """The program cannot be executed; the message is Go's."""


def find(program: str, env: Sequence[str]) -> str:
    """Return the path to execute for `program`, as seen by the calling process.

    With a slash in it the name is taken as it stands, else $PATH of `env` is searched.
    NotExecutable says why there is none.
    """
    if "/" in program:
        reason = _obstacle(program)
        if reason:
            raise NotExecutable(f'exec: "{program}": {reason}')
        return program
    path = next((item[5:] for item in reversed(env) if item.startswith("PATH=")), "")
    for directory in path.split(":") if path and program else ():
        candidate = f"{directory or '.'}/{program}"
        if not _obstacle(candidate):
            return candidate
    raise NotExecutable(f'exec: "{program}": executable file not found in $PATH')


def _obstacle(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError as error:
        return f"stat {path}: {lowered(error)}"
    if stat.S_ISDIR(status.st_mode):
        return "is a directory"
    # Real ids would leave out capabilities that an ordinary user has been given.
    if not os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return "permission denied"
    return ""


def lowered(error: OSError) -> str:
    """Return the error's text as Go spells it: in small letters."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def home_of(uid: int, passwd: str) -> str:
    """Return the home directory of `uid` by the text of a passwd file, "/" if it has none."""
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2] == str(uid):
            return fields[5] or "/"
    return "/"
