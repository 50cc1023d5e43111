"""The service manager's side: readiness (sd_notify(3)) and sockets passed in (sd_listen_fds(3))."""

import os
import socket

FIRST_PASSED = 3


def notify(state: str) -> bool:
    """Send a state such as `READY=1` to the service manager; tell if there is one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def passed_sockets() -> list[socket.socket]:
    """Take over the sockets of socket activation; empty if there are none for this process."""
    count = os.environ.pop("LISTEN_FDS", "")
    process = os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count.isdecimal() or process != str(os.getpid()):
        return []
    sockets = []
    for fd in range(FIRST_PASSED, FIRST_PASSED + int(count)):
        os.set_inheritable(fd, False)
        sockets.append(socket.socket(fileno=fd))
    return sockets
