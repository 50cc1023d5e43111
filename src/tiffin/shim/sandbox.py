"""What a shim keeps of its container's network: sockets, name server, forwarded ports."""

from collections.abc import Iterator, Sequence

from tiffin.runtime.runtime import JsonObject, NetworkSockets
from tiffin.shim.dns import Resolver
from tiffin.shim.forward import TcpForward, UdpForward, open_forward
from tiffin.shim.loop import Loop
from tiffin.shim.protocol import Create, ForwardOptions, close_all

_SOCKETS = ("netns", "rtnetlink", "nfnetlink", "dns_udp", "dns_tcp")


class Sandbox:
    """Owns the descriptors; empty for a container without a network namespace of its own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.sockets: NetworkSockets | None = None
        self.options: list[ForwardOptions] = []
        self._forwards: list[TcpForward | UdpForward] = []
        self._resolver: Resolver | None = None

    def take(self, sockets: NetworkSockets | None) -> None:
        """Own the sockets that the runtime has made."""
        self.sockets = sockets

    def serve_names(self, request: Create) -> None:
        """Begin to answer the container's DNS queries, if it has a name server of ours."""
        sockets = self.sockets
        if sockets is None or request.dns_names is None or sockets.dns_udp < 0:
            return
        self._resolver = Resolver(
            self._loop, sockets.dns_udp, sockets.dns_tcp, request.dns_names, request.dns_upstreams
        )

    def forward(self, options: ForwardOptions, fd: int) -> None:
        """Pass on what comes to a listening socket."""
        self.options.append(options)
        self._forwards.append(
            open_forward(self._loop, fd, options.protocol, options.target_ip, options.target_port)
        )

    def reply(self) -> tuple[JsonObject, Sequence[int]]:
        """Return what a daemon needs to plug the network in."""
        sockets = self.sockets
        if sockets is None:
            return {}, ()
        ports: JsonObject = {}
        if self._resolver is not None:
            ports = {
                "dns_udp_port": self._resolver.udp_port,
                "dns_tcp_port": self._resolver.tcp_port,
            }
        return ports, (sockets.netns, sockets.rtnetlink, sockets.nfnetlink)

    @property
    def is_quiet(self) -> bool:
        """Whether no connection and no query is under way."""
        return all(forward.is_quiet for forward in self._forwards) and (
            self._resolver is None or self._resolver.is_quiet
        )

    def descriptors(self) -> Iterator[tuple[str, int]]:
        """Yield all by name, for another process to go on with (`resume`)."""
        if self.sockets is not None:
            for name in _SOCKETS:
                yield name, getattr(self.sockets, name)
        for forward in self._forwards:
            yield "forward", forward.fileno()

    def resume(
        self,
        request: Create,
        named: dict[str, list[int]],
        options: Sequence[ForwardOptions],
    ) -> None:
        """Go on with the descriptors of another process."""
        if "netns" in named:
            self.take(NetworkSockets(*(named.get(name, [-1])[0] for name in _SOCKETS)))
            self.serve_names(request)
        for item, fd in zip(options, named.get("forward", ()), strict=True):
            self.forward(item, fd)

    def close(self) -> None:
        """Close everything; idempotent."""
        for forward in self._forwards:
            forward.close()
        self._forwards = []
        sockets, self.sockets = self.sockets, None
        if sockets is not None:
            if self._resolver is None:
                close_all((sockets.dns_udp, sockets.dns_tcp))
            close_all((sockets.netns, sockets.rtnetlink, sockets.nfnetlink))
        if self._resolver is not None:
            self._resolver.close()
            self._resolver = None
