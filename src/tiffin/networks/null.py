"""The driver of the `none` network: a namespace of its own with nothing but the loopback."""

from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox


class NullDriver:
    """Brings up the loopback interface."""

    @property
    def name(self) -> str:
        """Return `null`."""
        return "null"

    def create(self, network: NetworkSpec) -> None:
        """Do nothing."""

    def delete(self, network: NetworkSpec) -> None:
        """Do nothing."""

    def attach(
        self,
        network: NetworkSpec,  # noqa: ARG002  # contract
        endpoint: EndpointSpec,  # noqa: ARG002  # contract
        sandbox: Sandbox,
    ) -> None:
        """Bring up the loopback interface."""
        Channel(sandbox.rtnetlink).execute([rt.set_link(rt.LOOPBACK_INDEX, up=True)])

    def detach(
        self, network: NetworkSpec, endpoint: EndpointSpec, *, sandbox_ends: bool = False
    ) -> None:
        """Do nothing: the interface goes with its namespace."""

    def sweep(self) -> bool:
        """Do nothing."""
        return False
