"""The facade of everything that concerns networks."""

from collections.abc import Collection

from tiffin.api.types.networks import EndpointSettings, Network, NetworkSettings
from tiffin.engine.networks.contract import (
    Allocation,
    ConnectTarget,
    ContainerLookup,
    ContainerNetworks,
)
from tiffin.networks.driver import Sandbox
from tiffin.spec.ids import ContainerId

__all__ = ["Allocation", "ConnectTarget", "ContainerLookup", "ContainerNetworks", "Networks"]


class Networks:
    """Networks and the endpoints of containers."""

    async def recover(self) -> None:
        """Bring the kernel in line with what is persisted and still running."""
        raise NotImplementedError

    async def allocate(self, container: ContainerNetworks) -> Allocation:
        """Reserve addresses and ports; Docker's errors if that fails, with nothing kept."""
        raise NotImplementedError

    async def plug(self, allocation: Allocation, sandbox: Sandbox) -> None:
        """Make the endpoints in the sandbox and publish the ports; undone if it fails."""
        raise NotImplementedError

    async def release(self, container_id: ContainerId) -> None:
        """Give everything back that `allocate` and `plug` took. Idempotent."""
        raise NotImplementedError

    async def forget(self, container_id: ContainerId) -> None:
        """Drop the connections of a container that is removed. Idempotent."""
        raise NotImplementedError

    async def retain(self, running: Collection[ContainerId]) -> None:
        """Release the endpoints of all containers that are not among `running`."""
        raise NotImplementedError

    async def rename(self, container_id: ContainerId, name: str) -> None:
        """Let the other containers find a container under its new name."""
        raise NotImplementedError

    async def settings(self, container: ContainerNetworks) -> NetworkSettings:
        """Return what inspect shows, running or not."""
        raise NotImplementedError

    async def connect(
        self, reference: str, target: ConnectTarget, settings: EndpointSettings | None
    ) -> None:
        """Connect a container, live if it runs, else from its next start on."""
        raise NotImplementedError

    async def disconnect(self, reference: str, target: ConnectTarget) -> None:
        """Disconnect a container, live if it runs."""
        raise NotImplementedError

    async def inspect(self, reference: str) -> Network:
        """Return one network by name, id or a unique start of its id."""
        raise NotImplementedError
