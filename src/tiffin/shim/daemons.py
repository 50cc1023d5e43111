"""The daemons that a shim serves: they come and go, and each request gets one answer."""

import socket
from collections.abc import Callable, Iterator, Sequence

from tiffin.errors import FailedPrecondition, TiffinError
from tiffin.runtime.runtime import JsonObject
from tiffin.shim import protocol, state
from tiffin.shim.channel import Channel
from tiffin.shim.faults import Faults
from tiffin.shim.loop import READ, Loop
from tiffin.shim.protocol import Message, close_all

Reply = tuple[JsonObject, Sequence[int]]

Answer = Callable[[Channel, Message, list[int]], Reply | None]
"""Does what a message asks for; descriptors that it takes out of the list are its own.

None: the answer comes later. An exception is the answer, too.
"""


class Daemons:
    """Owns the channels and the socket for later daemons.

    `on_answered` is called after each message, `on_left` with each channel that was closed.
    """

    def __init__(
        self,
        loop: Loop,
        faults: Faults,
        answer: Answer,
        *,
        on_answered: Callable[[Channel, Message], None],
        on_left: Callable[[Channel], None],
    ) -> None:
        self._loop = loop
        self._faults = faults
        self._answer = answer
        self._on_answered = on_answered
        self._on_left = on_left
        self._channels: list[Channel] = []
        self._listener: socket.socket | None = None

    def __bool__(self) -> bool:
        return bool(self._channels)

    def adopt(self, connection: socket.socket) -> None:
        """Serve one more."""
        self._channels.append(Channel(self._loop, connection, self._on_message, self._on_closed))

    def listen(self, directory: str) -> None:
        """Let later ones connect by the task's directory; OSError."""
        self._watch(state.listen(directory))

    def broadcast(self, message: Message) -> None:
        """Tell all of them."""
        for channel in tuple(self._channels):
            channel.send(message)

    @property
    def is_quiet(self) -> bool:
        """Whether no message is half-way."""
        return all(channel.is_quiet for channel in self._channels)

    def descriptors(self) -> Iterator[tuple[str, int]]:
        """Yield all by name, for another process to go on with (`resume`)."""
        if self._listener is not None:
            yield "listener", self._listener.fileno()
        for channel in self._channels:
            yield "channel", channel.fileno()

    def resume(self, named: dict[str, list[int]]) -> None:
        """Go on with the descriptors of another process."""
        self._watch(socket.socket(fileno=named["listener"][0]))
        for fd in named.get("channel", ()):
            self.adopt(socket.socket(fileno=fd))

    def stop_listening(self) -> None:
        """Let no more come; idempotent."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove(listener.fileno())
            listener.close()

    def _watch(self, listener: socket.socket) -> None:
        self._listener = listener
        self._loop.add(listener.fileno(), READ, self._on_connection)

    def _on_connection(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            connection, _address = self._listener.accept()
        except OSError:
            return
        self.adopt(connection)

    def _on_message(self, channel: Channel, message: Message, fds: list[int]) -> None:
        if isinstance(message, protocol.Bye):
            close_all(fds)
            channel.close()
            return
        seq: int = getattr(message, "seq", 0)
        try:
            reply = self._answer(channel, message, fds)
        except TiffinError as error:
            channel.send(protocol.Failed(seq, type(error).__name__, str(error)))
        except OSError as error:
            channel.send(protocol.Failed(seq, FailedPrecondition.__name__, describe(error)))
        except Exception as error:  # noqa: BLE001  # a bug must not take the container down
            self._faults.note()
            text = f"internal error of the shim: {error!r}"
            channel.send(protocol.Failed(seq, FailedPrecondition.__name__, text))
        else:
            if reply is not None:
                channel.send(protocol.Done(seq, reply[0]), reply[1])
        finally:
            close_all(fds)
            self._on_answered(channel, message)

    def _on_closed(self, channel: Channel) -> None:
        self._channels.remove(channel)
        self._on_left(channel)


def describe(error: OSError) -> str:
    """Return what a client is to read of it."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)
