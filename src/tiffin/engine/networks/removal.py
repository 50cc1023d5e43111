"""Removes networks, one by one or all that nobody uses."""

import logging
from collections.abc import Callable
from dataclasses import replace

from tiffin.engine.networks.context import PREDEFINED, Context
from tiffin.engine.networks.records import network_spec
from tiffin.errors import FailedPrecondition, PermissionDenied, TiffinError
from tiffin.state.networks import NetworkRecord

log = logging.getLogger(__name__)


def remove(context: Context, reference: str, operation: int | None = None) -> NetworkRecord:
    """Remove a network that has no endpoints; with an operation it can be restored."""
    with context.lock:
        network = context.registry.find(reference)
        if network.name in PREDEFINED:
            raise PermissionDenied(f"{network.name} is a pre-defined network and cannot be removed")
        _check_unused(context, network)
        # From here on a crash ends in removal: recovery finishes what is not ready.
        context.registry.put_network(replace(network, ready=False))
        unmake(context, network)
        if operation is None:
            context.registry.drop_network(network.id)
        else:
            context.registry.retire_network(network, operation)
        context.names.remove(network.id)
    return network


def unmake(context: Context, network: NetworkRecord) -> None:
    """Take a network out of the kernel."""
    if network.config_only or network.driver not in context.drivers:
        return
    try:
        context.driver(network.driver).delete(network_spec(network))
    except OSError as error:
        raise FailedPrecondition(f"error while removing network {network.name}: {error}") from error


def prunable(context: Context, accepts: Callable[[NetworkRecord], bool]) -> list[NetworkRecord]:
    """Return the networks that nobody uses and that the filter accepts."""
    with context.lock:
        return [
            network
            for network in context.registry.networks()
            if network.name not in PREDEFINED
            and not network.config_only
            and not context.registry.endpoints_on(network.id)
            and accepts(network)
        ]


def prune(
    context: Context, accepts: Callable[[NetworkRecord], bool], operation: int | None = None
) -> list[NetworkRecord]:
    """Remove the networks that nobody uses and that the filter accepts."""
    removed: list[NetworkRecord] = []
    for network in prunable(context, accepts):
        try:
            removed.append(remove(context, network.id, operation))
        except TiffinError as error:
            log.warning("could not remove network %s: %s", network.name, error)
    return removed


def _check_unused(context: Context, network: NetworkRecord) -> None:
    endpoints = context.registry.endpoints_on(network.id)
    if endpoints:
        active = ", ".join(f'name:"{e.container_name}" id:"{e.id[:12]}"' for e in endpoints)
        raise PermissionDenied(
            f"error while removing network: network {network.name} id {network.id} has active"
            f" endpoints ({active})"
        )
    if network.config_only:
        users = [n for n in context.registry.networks() if n.config_from == network.name]
        if users:
            raise PermissionDenied(
                f"configuration network {network.name!r} is in use by network {users[0].name!r}"
            )
