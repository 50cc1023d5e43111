"""Starting the spawner from a sealed copy of the interpreter.

A process in a container that opens /proc/self/exe while it is still the runtime's then finds an
anonymous file that nobody can write to, not the host's interpreter (the class of CVE-2019-5736).
"""

import fcntl
import os
import socket
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_F_ADD_SEALS = 1033
_SEALS = 0x0F  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
_MFD_EXEC = 0x10  # since Linux 6.3; needed where vm.memfd_noexec is set

_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from tiffin.shim.lean import defer; defer('inspect'); "
    "defer('urllib.parse', 'quote_from_bytes'); "
    "from tiffin.shim.spawner import main; main(int(sys.argv[2]), *sys.argv[3:])"
)


def sealed_copy(path: str) -> int:
    """Return a descriptor of an anonymous, sealed, executable copy of a file."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create("tiffin-spawner", flags | _MFD_EXEC)
    except OSError:
        copy = os.memfd_create("tiffin-spawner", flags)
    try:
        with open(path, "rb") as source:
            size = os.fstat(source.fileno()).st_size
            position = 0
            while position < size:
                position += os.sendfile(copy, source.fileno(), position, size - position)
        os.fchmod(copy, 0o500)
        fcntl.fcntl(copy, _F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(copy)
        raise
    return copy


def start_spawner(runtime: str, cache: Path) -> tuple[int, socket.socket]:
    """Start a spawner; return its pid (a child, to be waited for) and the socket to it.

    Safe in a process with threads: nothing of Python runs between fork and exec.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            return _spawn([str(theirs.fileno()), runtime, str(cache)], theirs.fileno()), ours
        except BaseException:
            ours.close()
            raise


def _spawn(choices: Sequence[str], inherited: int) -> int:
    interpreter = interpreter_path()
    package_root = str(Path(__file__).resolve().parents[2])
    executable = sealed_copy(os.path.realpath(interpreter))
    # argv[0] tells the interpreter where its standard library is; the site is not needed.
    arguments = [interpreter, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, package_root, *choices]
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        os.set_inheritable(inherited, True)
        actions: Sequence[tuple[int, int, int]] = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
        ]
        path = f"/proc/self/fd/{executable}"
        return os.posix_spawn(path, arguments, _environment(), file_actions=actions, setsigdef=())
    finally:
        os.close(null)
        os.close(executable)


def interpreter_path() -> str:
    """Return the interpreter itself, not the link to it in a virtual environment."""
    return getattr(sys, "_base_executable", "") or sys.executable


def library_path() -> dict[str, str]:
    """Return the variable by which a copy of the interpreter finds its library, if it needs one."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return {}
    # A library path relative to the executable would not lead anywhere from a memfd.
    return {"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))}


def _environment() -> dict[str, str]:
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "LC_ALL": "C.UTF-8", **library_path()}
