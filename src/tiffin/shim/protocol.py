"""What a daemon, the spawner and a shim say to one another over seqpacket Unix sockets.

    daemon                        spawner                          shim
      │── Spawn + channel ───────────►│                              │
      │                               │── fork, channel ────────────►│
      │── Create + clients' sockets ────────────────────────────────►│  does not wait for the fork
      │◄── Explained*  Warned* ──────────────────────────────────────│
      │◄── Done{pid} + netns, rtnetlink, nfnetlink ──────────────────│  or Failed, and it is gone
      │── Start + listening sockets ────────────────────────────────►│
      │◄── Done{started_ns} ─────────────────────────────────────────│  or Failed, and it is gone
      │── Attach Exec Kill Resize Pause Resume Update Network ──────►│  in any order
      │◄── Done or Failed, one for each ─────────────────────────────│
      │◄── ExecExited*  Detached*  Exited ───────────────────────────│
      │── Bye ──────────────────────────────────────────────────────►│  ends when its clients have all

A later daemon connects to `<task directory>/shim.sock` and begins with Hello. A channel that closes
before Start ends the task; later it ends nothing.

A message is the JSON array `[kind, fields]`. It travels as one or more packets, each a flag byte (1:
more follows, 0: last) and a part; descriptors ride along, at most `FDS_PER_PACKET` per packet, and
belong to the message in the order of the packets.
"""

import json
import os
import socket
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import Any

PACKET_SIZE = 64 * 1024
FDS_PER_PACKET = 128
MESSAGE_LIMIT = 32 << 20

JsonObject = dict[str, Any]

_FD_SIZE = array("i").itemsize


class ProtocolError(Exception):
    """The peer sent something that is no message."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Daemon → spawner: fork a shim that owns the one descriptor as its channel."""

    id: str


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """One attached connection; `id` is the daemon's, bytes are hexadecimal."""

    id: int
    stdin: bool
    stdout: bool
    stderr: bool
    framed: bool
    detach_keys: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """The binary of another OCI runtime."""

    name: str
    path: str
    arguments: list[str]


@dataclass(frozen=True, slots=True)
class Create:
    """Make the task. One descriptor per client."""

    seq: int
    id: str
    bundle: str
    log_driver: str
    log_path: str
    log_options: dict[str, str]
    log_attributes: dict[str, str]
    terminal: bool
    rows: int
    columns: int
    open_stdin: bool
    stdin_once: bool
    init_process: bool
    new_network: bool
    dns_names: str | None
    dns_upstreams: list[str]
    explain: bool
    clients: list[ClientOptions]
    log_source: JsonObject = field(default_factory=dict)
    """The fields of `logs.remote.LogSource`, for drivers that send logs elsewhere."""
    runtime: RuntimeOptions | None = None
    """None for our own."""


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    """Where a listening socket's traffic goes; `protocol` is `tcp` or `udp`."""

    protocol: str
    target_ip: str
    target_port: int


@dataclass(frozen=True, slots=True)
class Start:
    """Execute the user's program. One descriptor per forward."""

    seq: int
    forwards: list[ForwardOptions]


@dataclass(frozen=True, slots=True)
class Attach:
    """Add a client. One descriptor."""

    seq: int
    client: ClientOptions


@dataclass(frozen=True, slots=True)
class Exec:
    """Run one more process. One descriptor if there is a client."""

    seq: int
    id: str
    process: JsonObject
    terminal: bool
    rows: int
    columns: int
    client: ClientOptions | None


@dataclass(frozen=True, slots=True)
class Kill:
    """Signal init, all processes, or the exec named by `exec`."""

    seq: int
    signal: int
    every: bool = False
    exec: str = ""


@dataclass(frozen=True, slots=True)
class Resize:
    """Set the size of the terminal of the task, or of the exec named by `exec`."""

    seq: int
    rows: int
    columns: int
    exec: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Freeze."""

    seq: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Thaw."""

    seq: int


@dataclass(frozen=True, slots=True)
class Update:
    """Apply an OCI `linux.resources` object."""

    seq: int
    resources: JsonObject


@dataclass(frozen=True, slots=True)
class Network:
    """Ask for the sandbox's descriptors once more."""

    seq: int


@dataclass(frozen=True, slots=True)
class Delete:
    """Kill what is left and remove the cgroups."""

    seq: int


@dataclass(frozen=True, slots=True)
class Hello:
    """A later daemon's first message; Done has phase, pid, started_ns, warnings."""

    seq: int


@dataclass(frozen=True, slots=True)
class Bye:
    """The daemon has noted the exit: the shim may end."""


@dataclass(frozen=True, slots=True)
class Done:
    """Shim → daemon: the request `seq` succeeded."""

    seq: int
    result: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """Shim → daemon: the request `seq` failed; `error` names a class of `tiffin.errors`."""

    seq: int
    error: str
    message: str


@dataclass(frozen=True, slots=True)
class Explained:
    """Shim → daemon: an operation of the creation was done."""

    line: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Shim → daemon: a limit could not be granted."""

    line: str


@dataclass(frozen=True, slots=True)
class Exited:
    """Shim → daemon: the task has ended; its log is complete, its cgroups are gone."""

    code: int
    finished_ns: int
    oom_killed: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExecExited:
    """Shim → daemon: an exec has ended and its output is through."""

    id: str
    code: int


@dataclass(frozen=True, slots=True)
class Detached:
    """Shim → daemon: a client went away or typed the detach keys."""

    client: int


@dataclass(frozen=True, slots=True)
class Handover:
    """Shim → its keeper: go on with this task; one descriptor per name (`keeper.py`)."""

    create: JsonObject
    pid: int
    started_ns: int
    warnings: list[str]
    forwards: list[ForwardOptions]
    names: list[str]


Message = (
    Spawn | Handover
    | Create | Start | Attach | Exec | Kill | Resize | Pause | Resume | Update | Network
    | Delete | Hello | Bye | Done | Failed | Explained | Warned | Exited | ExecExited | Detached
)  # fmt: skip

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in Message.__args__}
_NESTED: dict[str, type[Any]] = {
    "client": ClientOptions,
    "clients": ClientOptions,
    "forwards": ForwardOptions,
    "runtime": RuntimeOptions,
}

Packet = tuple[bytes, Sequence[int]]


def encode(message: Message, fds: Sequence[int] = ()) -> list[Packet]:
    """Return the packets of a message."""
    body = json.dumps([type(message).__name__, plain(message)], separators=(",", ":")).encode()
    parts = [body[at : at + PACKET_SIZE] for at in range(0, len(body), PACKET_SIZE)]
    groups = [fds[at : at + FDS_PER_PACKET] for at in range(0, len(fds), FDS_PER_PACKET)]
    count = max(len(parts), len(groups))
    parts += [b""] * (count - len(parts))
    groups += [()] * (count - len(groups))
    last = count - 1
    return [
        (b"\0" + part if index == last else b"\1" + part, group)
        for index, (part, group) in enumerate(zip(parts, groups, strict=True))
    ]


def plain(value: Any) -> JsonObject:  # noqa: ANN401  # any dataclass of this module
    """Return the fields of a message, nested ones too."""
    fields: JsonObject = {}
    for name in value.__dataclass_fields__:
        item = getattr(value, name)
        if is_dataclass(item):
            item = plain(item)
        elif isinstance(item, (list, tuple)):
            item = [plain(entry) if is_dataclass(entry) else entry for entry in item]
        fields[name] = item
    return fields


def decode(body: bytes) -> Message:
    """Return the message; unknown fields (of a newer peer) are left out. ProtocolError if none."""
    try:
        name, fields = json.loads(body)
        message: Message = build(_KINDS[name], fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ProtocolError(f"not a message: {body[:80]!r}") from error
    return message


def build(kind: type[Any], fields: JsonObject) -> Any:  # noqa: ANN401
    """Return the message of a kind that `plain` took apart; unknown fields are left out."""
    known: JsonObject = {}
    for name in kind.__dataclass_fields__:
        if name not in fields:
            continue
        value = fields[name]
        nested = _NESTED.get(name)
        if nested is None:
            known[name] = value
        elif isinstance(value, list):
            known[name] = [build(nested, entry) for entry in value]
        elif isinstance(value, dict):
            known[name] = build(nested, value)
        else:
            known[name] = value
    return kind(**known)


class Assembler:
    """Puts packets together again; owns the descriptors of a message that is not complete."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._fds: list[int] = []

    def feed(self, packet: bytes, fds: Sequence[int] = ()) -> tuple[Message, list[int]] | None:
        """Return the message that this packet completes; ProtocolError closes the descriptors."""
        self._fds += fds
        self._body += packet[1:]
        if packet[:1] == b"\1" and len(self._body) <= MESSAGE_LIMIT:
            return None
        body, self._body = bytes(self._body), bytearray()
        taken, self._fds = self._fds, []
        try:
            if packet[:1] != b"\0":
                raise ProtocolError(f"bad packet: {packet[:20]!r}")
            return decode(body), taken
        except ProtocolError:
            close_all(taken)
            raise

    @property
    def is_empty(self) -> bool:
        """Whether no message is incomplete."""
        return not self._body and not self._fds

    def close(self) -> None:
        """Close the descriptors of an incomplete message."""
        close_all(self._fds)
        self._fds = []


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors; -1 stands for none."""
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def send_packet(channel: socket.socket, packet: Packet) -> None:
    """Send one packet; BlockingIOError if the peer's buffer is full."""
    body, fds = packet
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
    channel.sendmsg([body], rights, socket.MSG_NOSIGNAL)


def receive_packet(channel: socket.socket) -> Packet:
    """Receive one packet; an empty body means that the peer has closed its end."""
    # socket.recv_fds passes no flags on, and its descriptors would be inherited.
    body, ancillary, flags, _address = channel.recvmsg(
        PACKET_SIZE + 1, socket.CMSG_SPACE(FDS_PER_PACKET * _FD_SIZE), socket.MSG_CMSG_CLOEXEC
    )
    fds = array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % _FD_SIZE])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(fds)
        raise ProtocolError("packet was truncated")
    return body, fds
