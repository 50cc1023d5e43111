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

    The main one goes without saying only if no other is named. Networks that do not exist stay
    under the name that was used for them, the default one apart, which may be switched off.
    """
    if shares_network(container):
        return {}
    main = _name(main_network(container), registry)
    named = {
        main if reference == "default" else _name(reference, registry): settings
        for reference, settings in container.endpoints.items()
    }
    if main == DEFAULT_NETWORK and registry.by_name(main) is None:
        named.pop(main, None)
        main = NONE_NETWORK if not named else ""
    first = [main] if main in named or not named or main in (HOST_NETWORK, NONE_NETWORK) else []
    wishes = {name: named.get(name) or EndpointSettings() for name in (*first, *named)}
    if main in wishes and container.mac_address and not wishes[main].mac_address:
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
