"""What the containers' use-cases and the networks' say to each other.

allocation = await networks.allocate(container)      # addresses, ports, files' texts
…  the task is created with allocation.dns …
await networks.plug(allocation, handle.sandbox)      # only if allocation.new_netns
await handle.start(allocation.forwards)
allocation.close()                                   # the shim has its own copies now
…
await networks.release(container.id)                 # when it has ended
await networks.forget(container.id)                  # when it is removed
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tiffin.api.types.networks import EndpointSettings, NetworkSettings, PortBinding
from tiffin.engine.tasks.contract import DnsSettings, Forward
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox
from tiffin.spec.ids import ContainerId


@dataclass(frozen=True, slots=True)
class ContainerNetworks:
    """A container's wishes, from its `HostConfig`, `Config` and `NetworkingConfig`."""

    id: ContainerId
    name: str
    """Without the leading slash."""
    hostname: str = ""
    """As configured, or the short id."""
    domainname: str = ""
    network_mode: str = "default"
    """`default`, `bridge`, `host`, `none`, `container:<id>`, or a network's name or id."""
    endpoints: Mapping[str, EndpointSettings | None] = field(default_factory=dict)
    """By network name or id; the network of `network_mode` need not be listed."""
    port_bindings: Mapping[str, Sequence[PortBinding] | None] = field(default_factory=dict)
    """By `<port>[-<port>]/<protocol>`."""
    exposed_ports: Sequence[str] = ()
    publish_all: bool = False
    mac_address: str = ""
    dns: Sequence[str] = ()
    dns_search: Sequence[str] = ()
    dns_options: Sequence[str] = ()
    extra_hosts: Sequence[str] = ()
    links: Sequence[str] = ()
    """`<container>[:<alias>]`."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Everything that a container's network needs, reserved and persisted."""

    container: ContainerId
    new_netns: bool
    """A namespace of its own is to be made: `plug` must be called with its sandbox."""
    hosts: str
    """Text of /etc/hosts; "" with `container:…`, whose files are the other container's."""
    resolv_conf: str
    """Text of /etc/resolv.conf."""
    hostname: str
    """What /etc/hostname and the UTS namespace shall say; the host's own with `host`."""
    dns: DnsSettings | None = None
    """The resolver that the shim shall run; None where there is none."""
    forwards: tuple[Forward, ...] = ()
    """Host sockets of the published ports; the caller closes them after `start`."""
    endpoints: tuple[tuple[NetworkSpec, EndpointSpec], ...] = ()
    settings: NetworkSettings = field(default_factory=NetworkSettings)
    """For the container's inspect."""

    def close(self) -> None:
        """Close the daemon's copies of the forwards' sockets; call it once, after `start`."""
        for forward in self.forwards:
            os.close(forward.fd)


@dataclass(frozen=True, slots=True)
class ConnectTarget:
    """A container that a network is connected to or disconnected from."""

    container: ContainerNetworks
    open_sandbox: Callable[[], Awaitable[Sandbox | None]] | None = None
    """`TaskHandle.open_sandbox` of a running container, whose result we close; else None."""


class ContainerLookup(Protocol):
    """What networks need of containers, for connect and disconnect."""

    async def connect_target(self, reference: str) -> ConnectTarget:
        """Find a container by name or id; NotFound `No such container: …`."""
