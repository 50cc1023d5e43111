"""What the use-cases of networks work with. All of them are synchronous and run in threads."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tiffin.engine.networks.names_files import NamesFiles
from tiffin.engine.networks.options import NetworkOptions
from tiffin.engine.networks.registry import Registry
from tiffin.engine.roots import Roots
from tiffin.errors import NotFound
from tiffin.linux.netlink import Channel
from tiffin.networks.bridge import BridgeDriver
from tiffin.networks.driver import NetworkDriver
from tiffin.networks.firewall import Firewall
from tiffin.networks.host_ports import HostPorts
from tiffin.networks.ipam import Ipam

DEFAULT_NETWORK, HOST_NETWORK, NONE_NETWORK = "bridge", "host", "none"
PREDEFINED = (DEFAULT_NETWORK, HOST_NETWORK, NONE_NETWORK)


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a use-case may need. `lock` is held while the registry changes."""

    roots: Roots
    options: NetworkOptions
    registry: Registry
    names: NamesFiles
    channel: Channel
    firewall: Firewall
    bridges: BridgeDriver
    drivers: Mapping[str, NetworkDriver]
    ipam: Ipam
    host_ports: HostPorts
    lock: threading.RLock = field(default_factory=threading.RLock)

    def driver(self, name: str) -> NetworkDriver:
        """Return a driver by name; NotFound."""
        try:
            return self.drivers[name]
        except KeyError:
            raise NotFound(f'plugin "{name}" not found') from None
