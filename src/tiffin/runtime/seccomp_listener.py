"""Filters that ask an agent on the host (config-linux.md, "Seccomp": `listenerPath`).

The agent's socket is a file of the host, so it is connected to while that is still in sight. Once the
filter stands, its descriptor goes through that connection, together with the state of the process.
"""

import array
import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from tiffin.errors import InvalidArgument
from tiffin.linux import syscalls
from tiffin.linux.syscalls import SECCOMP_FILTER_FLAG_NEW_LISTENER
from tiffin.runtime.executable import lowered
from tiffin.runtime.hooks import OCI_VERSION, Subject
from tiffin.runtime.operation import Failed, Place

NOTIFY = "SCMP_ACT_NOTIFY"
_OWN_CALLS = frozenset({"write", "sendmsg"})
"""What has to be called before the agent can answer."""


def check(profile: dict[str, Any]) -> bool:
    """Tell whether the profile asks an agent; InvalidArgument if it does so in vain."""
    if profile.get("defaultAction") == NOTIFY:
        raise InvalidArgument(f"linux.seccomp: {NOTIFY} cannot be used as default action")
    asks = [item for item in profile.get("syscalls") or [] if item.get("action") == NOTIFY]
    for item in asks:
        own = _OWN_CALLS & set(item.get("names") or ())
        if own:
            raise InvalidArgument(
                f"linux.seccomp: {NOTIFY} cannot be used for the {min(own)} syscall"
            )
    if asks and not profile.get("listenerPath"):
        raise InvalidArgument(f"linux.seccomp: listenerPath must be set for {NOTIFY}")
    return bool(asks)


@dataclass(frozen=True, slots=True)
class ConnectListener:
    """Connect to the agent, and find out what it is to be told."""

    path: str
    metadata: str
    subject: Subject
    status: str
    init_pid: int = 0
    """In the host's namespace; 0 for the process itself."""

    def describe(self) -> str:
        """See `Operation`."""
        return "connect to the agent that decides on system calls"

    def call(self) -> str:
        """See `Operation`."""
        return f'connect("{self.path}")'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        pid = int(os.readlink("/proc/self"))  # the host's /proc knows the host's number
        state = json.loads(self.subject.state(self.status, self.init_pid or pid))
        told = {
            "ociVersion": OCI_VERSION,
            "fds": ["seccompFd"],
            "pid": pid,
            "metadata": self.metadata,
            "state": state,
        }
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self.path)
        except OSError as error:
            raise Failed(
                f"unable to connect with seccomp agent {self.path}: {lowered(error)}"
            ) from None
        place.agent = connection, json.dumps(told).encode()


@dataclass(frozen=True, slots=True)
class LoadAskingFilter:
    """Load the filter and give the agent its descriptor."""

    program: bytes
    flags: int

    def describe(self) -> str:
        """See `Operation`."""
        return "let through only the system calls of the profile, or those that an agent allows"

    def call(self) -> str:
        """See `Operation`."""
        flags = self.flags | SECCOMP_FILTER_FLAG_NEW_LISTENER
        return f"seccomp(SECCOMP_SET_MODE_FILTER, {flags:#x}) → sendmsg(agent)"

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        assert place.agent is not None
        connection, told = place.agent
        message = [told]
        try:
            fd = syscalls.seccomp(self.program, self.flags | SECCOMP_FILTER_FLAG_NEW_LISTENER)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            connection.sendmsg(message, rights)
        except OSError as error:
            raise Failed(f"unable to load the seccomp filter: {lowered(error)}") from None
        # The descriptors end with this program: closing them now is for the filter to forbid.
