"""The macvlan driver: containers with addresses of their own on the network of a host interface.

Such containers are reached from outside without translation; no ports are published for them, and
the host itself cannot reach them (that is how the kernel's macvlan works).
"""

from tiffin.errors import InvalidArgument
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.networks.bridge_options import mtu_option
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox
from tiffin.networks.parents import Parents, attach_made

OPTION_MODE = "macvlan_mode"


class MacvlanDriver:
    """Interfaces on top of a parent. `channel` is an rtnetlink channel of the host's namespace."""

    def __init__(self, channel: Channel, parents: Parents) -> None:
        self._channel = channel
        self._parents = parents

    @property
    def name(self) -> str:
        """Return `macvlan`."""
        return "macvlan"

    def create(self, network: NetworkSpec) -> None:
        """Check the options and make the parent if there is none."""
        _mode(network)
        mtu_option(network.options)
        self._parents.ensure(network)

    def delete(self, network: NetworkSpec) -> None:
        """Remove the parent if it was made for the network."""
        self._parents.remove(network)

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        """Make the interface in the sandbox; it goes with its namespace."""
        parent = self._parents.ensure(network)
        made = rt.add_macvlan(
            endpoint.interface_name,
            parent=parent.index,
            netns=sandbox.netns,
            mode=_mode(network),
            mac=endpoint.mac_address,
            mtu=mtu_option(network.options) or parent.mtu,
        )
        attach_made(self._channel, made, endpoint, sandbox)

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
        raise InvalidArgument(
            f"requested macvlan mode '{word}' is not valid, 'bridge' mode is the macvlan driver default"
        ) from None
