"""Which networks a container wants to be on, after everything that was said of it."""

import re

import msgspec

from tiffin.api.types.networks import EndpointSettings
from tiffin.engine.networks.context import DEFAULT_NETWORK, HOST_NETWORK, NONE_NETWORK
from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.engine.networks.registry import Registry
from tiffin.errors import InvalidArgument, NotFound

CONTAINER_PREFIX = "container:"
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")


def shares_network(container: ContainerNetworks) -> bool:
    """Whether the container lives in another one's namespace."""
    return container.network_mode.startswith(CONTAINER_PREFIX)


def main_network(container: ContainerNetworks) -> str:
    """Return the name of the network that the mode names."""
    mode = container.network_mode
    return DEFAULT_NETWORK if mode in ("", "default", DEFAULT_NETWORK) else mode


def endpoint_wishes(
    container: ContainerNetworks, registry: Registry
) -> dict[str, EndpointSettings]:
    """Return the endpoints that the container shall have, by network name, its main one first.

    Networks that do not exist stay under the name that was used for them.
    """
    if shares_network(container):
        return {}
    main = _name(main_network(container), registry)
    wishes: dict[str, EndpointSettings] = {main: EndpointSettings()}
    for reference, settings in container.endpoints.items():
        name = main if reference == "default" else _name(reference, registry)
        wishes[name] = settings or EndpointSettings()
    if container.mac_address and not wishes[main].mac_address:
        wishes[main] = msgspec.structs.replace(wishes[main], mac_address=container.mac_address)
    if main in (HOST_NETWORK, NONE_NETWORK):
        return {main: wishes[main]}
    for identifier, changed in registry.connections(container.id).items():
        network = registry.network(identifier)
        if network is None:
            continue
        if changed is None:
            wishes.pop(network.name, None)
        else:
            wishes[network.name] = msgspec.json.decode(changed, type=EndpointSettings)
    return wishes


def _name(reference: str, registry: Registry) -> str:
    try:
        return registry.find(reference).name
    except NotFound:
        return reference


def canonical_mac(text: str) -> str:
    """Return an Ethernet address as `02:42:ac:11:00:02`, or "" for ""; InvalidArgument."""
    if text and not _MAC.fullmatch(text):
        raise InvalidArgument(f"invalid MAC address: address {text}: invalid MAC address")
    return text.replace("-", ":").lower()
