"""Brings the kernel in line with the records when the daemon starts."""

import logging

from tiffin.engine.networks import lifecycle, removal
from tiffin.engine.networks.context import Context
from tiffin.engine.networks.create import make
from tiffin.engine.networks.predefined import ensure_predefined
from tiffin.engine.networks.records import endpoint_spec, network_spec
from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.networks.bridge import published
from tiffin.spec.ids import EndpointId, NetworkId
from tiffin.state.networks import EndpointRecord

log = logging.getLogger(__name__)


def recover(context: Context) -> None:
    """Finish what was begun, forget what is gone, make anew what somebody took away."""
    with context.lock:
        _drop_unfinished(context)
        ensure_predefined(context)
        alive = _drop_dead(context)
        _clean(context, alive)
        _rebuild(context, alive)
        for network in context.registry.networks():
            lifecycle.write_names(context, network)


def purge(context: Context) -> None:
    """Remove all bridges, veths and rules of this daemon, for good or until the next recovery."""
    with context.lock:
        for network in context.registry.networks():
            removal.unmake(context, network)
        context.bridges.remove_orphans([], [])
        context.firewall.remove()


def _drop_unfinished(context: Context) -> None:
    for network in context.registry.networks():
        if not network.ready:
            removal.unmake(context, network)
            context.registry.drop_network(network.id)


def _drop_dead(context: Context) -> list[EndpointRecord]:
    """Forget endpoints whose veth went with its namespace; return the others."""
    alive: list[EndpointRecord] = []
    for endpoint in context.registry.endpoints():
        network = context.registry.network(endpoint.network)
        if network is None or (
            network.driver == "bridge" and not context.bridges.is_attached(EndpointId(endpoint.id))
        ):
            context.registry.drop_endpoints([endpoint])
        else:
            alive.append(endpoint)
    return alive


def _clean(context: Context, alive: list[EndpointRecord]) -> None:
    networks = context.registry.networks()
    removed = context.bridges.remove_orphans(
        [NetworkId(network.id) for network in networks],
        [EndpointId(endpoint.id) for endpoint in alive],
    )
    if removed:
        log.warning("removed left-over interfaces: %s", " ".join(removed))
    context.names.keep_only(
        [*(network.id for network in networks), *(endpoint.container for endpoint in alive)]
    )


def _rebuild(context: Context, alive: list[EndpointRecord]) -> None:
    networks = context.registry.networks()
    rules = [
        context.bridges.rules(network_spec(network))
        for network in networks
        if network.driver == "bridge" and not network.config_only
    ]
    ports = [
        item
        for endpoint in alive
        if (network := context.registry.network(endpoint.network)) is not None
        for item in published(network_spec(network), endpoint_spec(endpoint))
    ]
    try:
        context.firewall.rebuild(rules, ports)
    except OSError as error:
        raise FailedPrecondition(f"cannot make the nftables rules: {error}") from error
    for network in networks:
        if network.config_only:
            continue
        try:
            make(context, network)
        except (FailedPrecondition, InvalidArgument) as error:
            # One broken network must not keep the daemon from serving the others.
            log.error("network %s: %s", network.name, error)
