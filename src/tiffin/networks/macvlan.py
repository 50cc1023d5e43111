"""The macvlan driver: containers with addresses of their own on the network of a host interface.

Such containers are reached from outside without translation; no ports are published for them, and
the host itself cannot reach them (that is how the kernel's macvlan works).
"""

from tiffin.errors import InvalidArgument, NotFound
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.networks.bridge import configure
from tiffin.networks.bridge_options import mtu_option
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox

OPTION_PARENT = "parent"
OPTION_MODE = "macvlan_mode"


class MacvlanDriver:
    """Interfaces on top of a parent. `channel` is an rtnetlink channel of the host's namespace."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def name(self) -> str:
        """Return `macvlan`."""
        return "macvlan"

    def create(self, network: NetworkSpec) -> None:
        """Check the options; there is nothing to make before the first endpoint."""
        _mode(network)
        mtu_option(network.options)
        if not network.options.get(OPTION_PARENT):
            raise InvalidArgument("macvlan needs the option parent: an interface of the host")

    def delete(self, network: NetworkSpec) -> None:
        """Do nothing."""

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        """Make the interface in the sandbox; it goes with its namespace."""
        name = network.options[OPTION_PARENT]
        parent = rt.find_link(self._channel, name)
        if parent is None:
            raise NotFound(f"invalid parent interface {name} of network {network.name}")
        made = rt.add_macvlan(
            endpoint.interface_name,
            parent=parent.index,
            netns=sandbox.netns,
            mode=_mode(network),
            mac=endpoint.mac_address,
            mtu=mtu_option(network.options) or parent.mtu,
        )
        self._channel.execute([rt.set_link(parent.index, up=True), made])
        inside = Channel(sandbox.rtnetlink)
        try:
            configure(inside, endpoint)
        except BaseException:
            inside.execute([rt.delete_link(endpoint.interface_name)])
            raise

    def detach(
        self, network: NetworkSpec, endpoint: EndpointSpec, *, sandbox_ends: bool = False
    ) -> None:
        """Do nothing: the interface goes with its namespace."""

    def sweep(self) -> bool:
        """Do nothing."""
        return False


def _mode(network: NetworkSpec) -> rt.MacvlanMode:
    word = network.options.get(OPTION_MODE, "") or "bridge"
    try:
        return rt.MacvlanMode[word.upper()]
    except KeyError:
        raise InvalidArgument(f"requested macvlan mode {word!r} is not valid") from None
