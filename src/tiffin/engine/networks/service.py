"""The facade of everything that concerns networks: threads below, events above."""

import asyncio
import os
from collections.abc import Collection, Iterable, Sequence

from tiffin.api.filters import Filters
from tiffin.api.types.networks import (
    EndpointSettings,
    Network,
    NetworkCreateRequest,
    NetworkSettings,
)
from tiffin.engine.events import Events
from tiffin.engine.networks import allocate as allocating
from tiffin.engine.networks import connect as connecting
from tiffin.engine.networks import create as creating
from tiffin.engine.networks import lifecycle, listing, recovery, removal, render, trash
from tiffin.engine.networks.context import Context
from tiffin.engine.networks.contract import (
    Allocation,
    ConnectTarget,
    ContainerLookup,
    ContainerNetworks,
)
from tiffin.engine.networks.lifecycle import Members
from tiffin.engine.networks.names_files import NamesFiles
from tiffin.engine.networks.options import NetworkOptions
from tiffin.engine.networks.registry import Registry
from tiffin.engine.networks.wishes import endpoint_wishes
from tiffin.engine.roots import Roots
from tiffin.engine.trash.contract import Bin, NoBin
from tiffin.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tiffin.linux import nftables, rtnetlink
from tiffin.networks.bridge import BridgeDriver
from tiffin.networks.driver import NetworkDriver, Sandbox
from tiffin.networks.firewall import Firewall
from tiffin.networks.host import HostDriver
from tiffin.networks.host_ports import HostPorts
from tiffin.networks.ipam_local import AddressPool, LocalIpam
from tiffin.networks.ipvlan import IpvlanDriver
from tiffin.networks.macvlan import MacvlanDriver
from tiffin.networks.null import NullDriver
from tiffin.networks.parents import Parents
from tiffin.spec.ids import ContainerId
from tiffin.state.database import Database
from tiffin.state.networks import NetworkRecord, NetworkRepository
from tiffin.state.retired import Retired

__all__ = [
    "Allocation",
    "ConnectTarget",
    "ContainerLookup",
    "ContainerNetworks",
    "NetworkOptions",
    "Networks",
]

SWEEP_S = 3.0
SETUP_FAILED = "failed to set up container networking: "


class Networks:
    """Networks and the endpoints of containers."""

    def __init__(
        self, roots: Roots, database: Database, events: Events, options: NetworkOptions
    ) -> None:
        self._context = make_context(roots, database, options)
        self._events = events
        self._sweep: asyncio.TimerHandle | None = None
        self.bin: Bin = NoBin()
        """Where pruned networks go."""

    @property
    def drivers(self) -> tuple[str, ...]:
        """Names of the network drivers, for `info`."""
        return tuple(sorted(self._context.drivers))

    async def recover(self) -> None:
        """Bring the kernel in line with what is persisted and still running."""
        await asyncio.to_thread(recovery.recover, self._context)

    async def close(self) -> None:
        """Leave nothing in the kernel if nothing runs; the next start makes it anew."""
        if self._sweep is not None:
            self._sweep.cancel()
        if not self._context.registry.endpoints():
            await self.purge()

    async def purge(self) -> None:
        """Take everything of this daemon out of the kernel; the records stay."""
        await asyncio.to_thread(recovery.purge, self._context)

    async def allocate(self, container: ContainerNetworks) -> Allocation:
        """Reserve addresses and ports; Docker's errors if that fails, with nothing kept."""
        # What an earlier run could not give back is given back now.
        await self.release(container.id)
        try:
            allocation = await asyncio.to_thread(allocating.allocate, self._context, container)
        except (NotFound, FailedPrecondition, PermissionDenied) as error:
            if error.message.startswith(SETUP_FAILED):
                raise
            raise type(error)(SETUP_FAILED + error.message, hint=error.hint) from error
        if not allocation.new_netns:
            # Nothing will be plugged: on the host's network it is connected already.
            self._publish("connect", lifecycle.members(self._context, container.id))
        return allocation

    async def plug(self, allocation: Allocation, sandbox: Sandbox) -> None:
        """Make the endpoints in the sandbox and publish the ports; undone if it fails."""
        members = await asyncio.to_thread(lifecycle.plug, self._context, allocation, sandbox)
        self._publish("connect", members)

    async def release(self, container_id: ContainerId) -> None:
        """Give everything back that `allocate` and `plug` took. Idempotent."""
        if not self._context.registry.endpoints_of(container_id):
            return
        members = await asyncio.to_thread(lifecycle.release, self._context, container_id)
        self._sweep_later()
        self._publish("disconnect", members)

    async def forget(self, container_id: ContainerId) -> None:
        """Drop the connections of a container that is removed. Idempotent."""
        await self.release(container_id)
        await asyncio.to_thread(self._context.registry.drop_connections, container_id)

    async def retain(self, running: Collection[ContainerId]) -> None:
        """Release the endpoints of all containers that are not among `running`."""
        for members in await asyncio.to_thread(lifecycle.retain, self._context, running):
            self._publish("disconnect", members)

    async def rename(self, container_id: ContainerId, name: str) -> None:
        """Let the other containers find a container under its new name."""
        await asyncio.to_thread(lifecycle.rename, self._context, container_id, name)

    async def settings(self, container: ContainerNetworks) -> NetworkSettings:
        """Return what inspect shows, running or not."""
        registry = self._context.registry
        return render.settings(container, endpoint_wishes(container, registry), registry)

    async def create(self, request: NetworkCreateRequest) -> NetworkRecord:
        """Make a network."""
        record = await asyncio.to_thread(creating.create, self._context, request)
        self._publish_network("create", record)
        return record

    async def list(self, filters: Filters) -> list[Network]:
        """Return the networks that pass, without their containers."""
        selected = listing.select(self._context.registry, filters)
        return [render.network(record) for record in selected]

    async def inspect(self, reference: str) -> Network:
        """Return one network by name, id or a unique start of its id."""
        registry = self._context.registry
        record = registry.find(reference)
        return render.network(record, registry.endpoints_on(record.id))

    async def remove(self, reference: str) -> None:
        """Remove a network that nobody uses."""
        record = await asyncio.to_thread(removal.remove, self._context, reference)
        self._publish_network("destroy", record)

    async def prune(self, filters: Filters, until_ns: int | None = None) -> Sequence[str]:
        """Remove the networks that nobody uses; return their names."""
        accepts = listing.prunable(filters, until_ns)
        operation = await self.bin.begin("network prune")
        removed = await asyncio.to_thread(removal.prune, self._context, accepts, operation)
        for record in removed:
            self._publish_network("destroy", record)
        self._events.publish("network", "prune", "", {"reclaimed": "0"})
        return [record.name for record in removed]

    async def preview_prune(self, filters: Filters, until_ns: int | None = None) -> Sequence[str]:
        """Return the names of the networks that `prune` would remove."""
        accepts = listing.prunable(filters, until_ns)
        found = await asyncio.to_thread(removal.prunable, self._context, accepts)
        return [record.name for record in found]

    async def restore(self, item: Retired) -> None:
        """Make a network of the trash again; Conflict."""
        record = await asyncio.to_thread(trash.restore, self._context, item)
        self._publish_network("create", record)

    async def destroy(self, item: Retired) -> int:
        """Drop a network of the trash, which frees nothing."""
        await asyncio.to_thread(self._context.registry.forget_retired, item)
        return 0

    async def connect(
        self, reference: str, target: ConnectTarget, settings: EndpointSettings | None
    ) -> None:
        """Connect a container, live if it runs, else from its next start on."""
        sandbox = await _open(target)
        try:
            network = await asyncio.to_thread(
                connecting.connect, self._context, reference, target.container, settings, sandbox
            )
        finally:
            _close(sandbox)
        self._publish_endpoint("connect", network, target.container.id)

    async def disconnect(self, reference: str, target: ConnectTarget) -> None:
        """Disconnect a container, live if it runs."""
        sandbox = await _open(target)
        try:
            network = await asyncio.to_thread(
                connecting.disconnect,
                self._context,
                reference,
                target.container,
                sandbox,
            )
        finally:
            _close(sandbox)
        self._publish_endpoint("disconnect", network, target.container.id)

    async def disconnect_gone(self, reference: str, container: str) -> None:
        """Free the endpoint of a container that does not exist any more (`--force`)."""
        registry = self._context.registry
        network = registry.find(reference)
        for endpoint in registry.endpoints_on(network.id):
            if container in (endpoint.container, endpoint.container_name):
                members = await asyncio.to_thread(
                    lifecycle.release, self._context, endpoint.container
                )
                self._publish("disconnect", members)
                return
        raise InvalidArgument(f"container {container} is not connected to network {network.name}")

    def _sweep_later(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._start_sweep)

    def _start_sweep(self) -> None:
        loop = asyncio.get_running_loop()
        swept = loop.run_in_executor(None, lifecycle.sweep, self._context)
        swept.add_done_callback(self._swept)

    def _swept(self, swept: asyncio.Future[bool]) -> None:
        self._sweep = None
        if not swept.cancelled() and swept.result():
            self._sweep_later()

    def _publish(self, action: str, members: Members) -> None:
        for network, endpoint in members:
            self._publish_endpoint(action, network, endpoint.container)

    def _publish_endpoint(self, action: str, network: NetworkRecord, container: str) -> None:
        attributes = {"container": container, "name": network.name, "type": network.driver}
        self._events.publish("network", action, network.id, attributes)

    def _publish_network(self, action: str, network: NetworkRecord) -> None:
        attributes = {"name": network.name, "type": network.driver}
        self._events.publish("network", action, network.id, attributes)


def make_context(roots: Roots, database: Database, options: NetworkOptions) -> Context:
    """Put the parts together; the sockets are opened in the caller's network namespace."""
    channel = rtnetlink.open_channel()
    firewall = Firewall(roots.tag, nftables.open_channel())
    bridges = BridgeDriver(roots.tag, channel, firewall, forward=options.ip_forward)
    parents = Parents(roots.tag, channel)
    macvlans, ipvlans = MacvlanDriver(channel, parents), IpvlanDriver(channel, parents)
    return Context(
        roots=roots,
        options=options,
        registry=Registry(NetworkRepository(database)),
        names=NamesFiles(roots.networks),
        channel=channel,
        firewall=firewall,
        bridges=bridges,
        drivers=_by_name([bridges, macvlans, ipvlans, HostDriver(), NullDriver()]),
        ipam=_ipam(roots, options),
        host_ports=HostPorts(),
    )


def _by_name(drivers: Iterable[NetworkDriver]) -> dict[str, NetworkDriver]:
    return {driver.name: driver for driver in drivers}


def _ipam(roots: Roots, options: NetworkOptions) -> LocalIpam:
    pools = [AddressPool.parse(base, size) for base, size in options.address_pools]
    return LocalIpam(pools or (), seed=f"{os.uname().nodename} {roots.tag}")


async def _open(target: ConnectTarget) -> Sandbox | None:
    return None if target.open_sandbox is None else await target.open_sandbox()


def _close(sandbox: Sandbox | None) -> None:
    if sandbox is not None:
        sandbox.rtnetlink.close()
        sandbox.nfnetlink.close()
        os.close(sandbox.netns)
