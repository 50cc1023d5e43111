"""All attached connections of a shim, whichever process they are attached to."""

import gc
from collections.abc import Callable

from tiffin.shim.client import Client
from tiffin.shim.loop import Loop
from tiffin.shim.protocol import ClientOptions

COLLECT_EVERY = 32


class Clients:
    """Makes them and knows which are left.

    `on_gone` gets the number of one that went away before the output ended, `on_closed` is called
    after each that is closed.
    """

    def __init__(
        self, loop: Loop, on_gone: Callable[[int], None], on_closed: Callable[[], None]
    ) -> None:
        self.directory = "/"
        """Where output goes that a client does not take; set once it is known."""
        self._loop = loop
        self._on_gone = on_gone
        self._on_closed = on_closed
        self._clients: list[Client] = []
        self._discards = 0

    def __bool__(self) -> bool:
        return bool(self._clients)

    def make(self, options: ClientOptions, fd: int, remove: Callable[[Client], None]) -> Client:
        """Return the client behind a connection, which it then owns.

        `remove` detaches one that goes away from what it is attached to.
        """

        def on_gone(client: Client) -> None:
            remove(client)
            self._on_gone(client.id)

        client = Client(
            self._loop,
            options,
            fd,
            self.directory,
            on_gone=on_gone,
            on_closed=self._closed,
        )
        self._clients.append(client)
        return client

    def discarded(self) -> None:
        """Note that objects with cycles were let go.

        The collector is off, so that it does not touch shared pages: what was there before the fork
        is frozen, and the few cycles that come with each client and exec are collected here.
        """
        self._discards += 1
        if self._discards % COLLECT_EVERY == 0:
            gc.collect()

    def _closed(self, client: Client) -> None:
        self._clients.remove(client)
        self.discarded()
        self._on_closed()
