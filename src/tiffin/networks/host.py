"""The driver of the `host` network: containers use the host's own namespace."""

from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox


class HostDriver:
    """There is nothing to make."""

    @property
    def name(self) -> str:
        """Return `host`."""
        return "host"

    def create(self, network: NetworkSpec) -> None:
        """Do nothing: the host is there."""

    def delete(self, network: NetworkSpec) -> None:
        """Do nothing."""

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        """Do nothing."""

    def detach(
        self, network: NetworkSpec, endpoint: EndpointSpec, *, sandbox_ends: bool = False
    ) -> None:
        """Do nothing."""

    def sweep(self) -> bool:
        """Do nothing."""
        return False
