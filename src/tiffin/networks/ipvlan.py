"""The ipvlan driver: containers with addresses, but no MAC, of their own behind a host interface.

In the modes l3 and l3s the kernel routes between parent and containers: there is no gateway, the
default route is the interface itself.
"""

from tiffin.errors import InvalidArgument
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.networks.bridge_options import mtu_option
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox
from tiffin.networks.parents import Parents, attach_made

OPTION_MODE, OPTION_FLAG = "ipvlan_mode", "ipvlan_flag"


class IpvlanDriver:
    """Interfaces that share their parent's MAC. `channel` is one of the host's namespace."""

    def __init__(self, channel: Channel, parents: Parents) -> None:
        self._channel = channel
        self._parents = parents

    @property
    def name(self) -> str:
        """Return `ipvlan`."""
        return "ipvlan"

    def create(self, network: NetworkSpec) -> None:
        """Check the options and make the parent if there is none."""
        ipvlan_mode(network.options)
        _flag(network)
        mtu_option(network.options)
        self._parents.ensure(network)

    def delete(self, network: NetworkSpec) -> None:
        """Remove the parent if it was made for the network."""
        self._parents.remove(network)

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        """Make the interface in the sandbox; it goes with its namespace."""
        parent = self._parents.ensure(network)
        made = rt.add_ipvlan(
            endpoint.interface_name,
            parent=parent.index,
            netns=sandbox.netns,
            mode=ipvlan_mode(network.options),
            flag=_flag(network),
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


def ipvlan_mode(options: dict[str, str]) -> rt.IpvlanMode:
    """Read the mode; InvalidArgument."""
    word = options.get(OPTION_MODE, "") or "l2"
    try:
        return rt.IpvlanMode[word.upper()]
    except KeyError:
        raise InvalidArgument(
            f"requested ipvlan mode '{word}' is not valid, 'l2' mode is the ipvlan driver default"
        ) from None


def routes_itself(driver: str, options: dict[str, str]) -> bool:
    """Tell whether a network's default route is the interface itself."""
    return driver == "ipvlan" and ipvlan_mode(options) is not rt.IpvlanMode.L2


def _flag(network: NetworkSpec) -> rt.IpvlanFlag:
    word = network.options.get(OPTION_FLAG, "") or "bridge"
    try:
        return rt.IpvlanFlag[word.upper()]
    except KeyError:
        raise InvalidArgument(
            f"requested ipvlan flag '{word}' is not valid, 'bridge' is the ipvlan driver default"
        ) from None
