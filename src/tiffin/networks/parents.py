"""The host's interfaces that macvlan and ipvlan networks stand on.

One that is there is used and left alone. `eth0.42` that is missing is made, as VLAN 42 of eth0; a
network that names none gets a dummy of its own, which leads nowhere. What was made says so in its
alias, and goes with its network.
"""

from tiffin.errors import InvalidArgument, NotFound
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel, Request
from tiffin.networks.bridge import configure
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox
from tiffin.networks.interface_sysctls import write_interface_sysctls

OPTION_PARENT = "parent"
DUMMY_LENGTH = 12
MAX_VLAN = 4094


class Parents:
    """Parents of one daemon's networks. `channel` is one of the host's namespace."""

    def __init__(self, tag: str, channel: Channel) -> None:
        self._tag = tag
        self._channel = channel

    def ensure(self, network: NetworkSpec) -> rt.Link:
        """Return the parent, up; InvalidArgument for one that cannot be, NotFound."""
        name = self._name(network)
        if name == "lo":
            raise InvalidArgument(f"loopback interface is not a valid {network.driver} parent link")
        found = rt.find_link(self._channel, name)
        if found is None:
            self._make(network, name)
            found = rt.find_link(self._channel, name)
        if found is None:
            raise NotFound(f"invalid parent interface {name} of network {network.name}")
        if not found.up:
            self._channel.execute([rt.set_link(found.index, up=True)])
        return found

    def remove(self, network: NetworkSpec) -> None:
        """Remove the parent if it was made for this network."""
        found = rt.find_link(self._channel, self._name(network))
        if found is not None and found.alias == self._alias(network):
            self._channel.execute([rt.delete_link(found.index)])

    def _name(self, network: NetworkSpec) -> str:
        return network.options.get(OPTION_PARENT, "") or f"d{self._tag}{network.id}"[:DUMMY_LENGTH]

    def _alias(self, network: NetworkSpec) -> str:
        return f"{self._tag}:{network.id}"

    def _make(self, network: NetworkSpec, name: str) -> None:
        if network.options.get(OPTION_PARENT):
            made = self._vlan(name)
        else:
            made = rt.add_dummy(name)
        self._channel.execute([made, rt.set_link(name, alias=self._alias(network), up=True)])

    def _vlan(self, name: str) -> Request:
        base, dot, number = name.rpartition(".")
        if not dot:
            raise NotFound(f"invalid parent interface {name}: there is no such interface")
        if not number.isdecimal() or not 1 <= int(number) <= MAX_VLAN:
            raise InvalidArgument(f"vlan id must be between 1-{MAX_VLAN}, received: {number}")
        lower = rt.find_link(self._channel, base)
        if lower is None:
            raise NotFound(f"invalid parent interface {name}: there is no interface {base}")
        return rt.add_vlan(name, parent=lower.index, number=int(number))


def attach_made(channel: Channel, made: Request, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
    """Make an endpoint's interface in the sandbox and configure it there; gone if that fails."""
    channel.execute([made])
    inside = Channel(sandbox.rtnetlink)
    try:
        write_interface_sysctls(sandbox.netns, endpoint.interface_name, endpoint.options)
        configure(inside, endpoint)
    except BaseException:
        inside.execute([rt.delete_link(endpoint.interface_name)])
        raise
