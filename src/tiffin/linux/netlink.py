"""A netlink socket that sends requests in batches and answers with OSError.

The kernel works on a request while it is being sent, so all replies are waiting when `send`
returns: nothing here ever blocks. Only the last request of a batch asks for an acknowledgement;
errors come for every request in any case.
"""

import errno
import itertools
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiffin.wire.netlink import (
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    message,
    messages,
)

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12

RECEIVE_SIZE = 1 << 18
SEND_BUFFER = 1 << 22
DUMP_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the kernel. `what` says in words what it does, e.g. `add link br0`."""

    type: int
    flags: int
    payload: bytes
    what: str

    def describe(self) -> str:
        """Return what it does."""
        return self.what


class Channel:
    """A netlink socket, for any number of threads; it does not own the socket it is given."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        # Whoever had the socket before may have been killed halfway: what is left for it is not ours,
        # and a list that it did not read to the end would keep the kernel from making another.
        self._sequence = itertools.count(int.from_bytes(os.urandom(3), "little") + 1)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            sock.setsockopt(SOL_NETLINK, option, 1)
        self._drain()

    def execute(self, requests: Sequence[Request], *, trailer: Request | None = None) -> None:
        """Carry the requests out in order; OSError of the first that failed.

        The later ones are tried even so: the caller undoes what is to be undone. `trailer` is sent
        behind them but is not acknowledged (the end mark of an nftables transaction).
        """
        if not requests:
            return
        with self._lock:
            self._execute(requests, trailer)

    def dump(self, kind: int, payload: bytes) -> list[Message]:
        """Return all objects of a kind, consistent with one another."""
        with self._lock:
            for _ in range(DUMP_ATTEMPTS):
                found, interrupted = self._dump(kind, payload)
                if not interrupted:
                    break
            return found

    def get(self, kind: int, payload: bytes, what: str) -> Message:
        """Return the one object that is asked for; OSError if there is none."""
        with self._lock:
            sequence = next(self._sequence)
            self._socket.send(message(kind, NLM_F_REQUEST, sequence, payload))
            for reply in self._replies():
                if reply.sequence == sequence:
                    _raise_error(reply, what)
                    return reply
        raise OSError(errno.EPROTO, "no reply from the kernel", what)

    def _execute(self, requests: Sequence[Request], trailer: Request | None) -> None:
        numbered = {next(self._sequence): request for request in requests}
        last = max(numbered)
        encoded = [
            message(
                request.type,
                request.flags | NLM_F_REQUEST | (NLM_F_ACK if number == last else 0),
                number,
                request.payload,
            )
            for number, request in numbered.items()
        ]
        if trailer is not None:
            encoded.append(message(trailer.type, NLM_F_REQUEST, last, trailer.payload))
        self._socket.send(b"".join(encoded))
        # All of it is read, lest what is said about this batch meets the next one.
        replies = [m for m in self._replies() if m.type == NLMSG_ERROR and m.sequence in numbered]
        for reply in replies:
            _raise_error(reply, numbered[reply.sequence].what)
        if not replies:
            raise OSError(errno.EPROTO, "no acknowledgement from the kernel", requests[-1].what)

    def _dump(self, kind: int, payload: bytes) -> tuple[list[Message], bool]:
        sequence = next(self._sequence)
        self._socket.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, payload))
        found: list[Message] = []
        interrupted = False
        for reply in self._replies():
            if reply.sequence != sequence:
                continue
            _raise_error(reply, "dump")
            interrupted = interrupted or bool(reply.flags & NLM_F_DUMP_INTR)
            if reply.type == NLMSG_DONE:
                break
            found.append(reply)
        return found, interrupted

    def _replies(self) -> Iterator[Message]:
        while True:
            try:
                data = self._socket.recv(RECEIVE_SIZE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            yield from messages(data)

    def _drain(self) -> None:
        while True:
            try:
                self._socket.recv(RECEIVE_SIZE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more was left than it holds
                    raise


def open_socket(protocol: int) -> socket.socket:
    """Open a netlink socket in the calling thread's network namespace."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    # Refused without CAP_NET_ADMIN in the first user namespace; large batches then fail as such.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return sock


def _raise_error(reply: Message, what: str) -> None:
    code = reply.error
    if code:
        said = reply.error_text
        raise OSError(code, f"{os.strerror(code)} ({said})" if said else os.strerror(code), what)
