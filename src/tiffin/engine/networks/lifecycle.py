"""Endpoints come into being when they are plugged and end when they are released."""

import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import replace

from tiffin.engine.networks.context import PREDEFINED, Context
from tiffin.engine.networks.contract import Allocation
from tiffin.engine.networks.records import endpoint_spec, network_spec
from tiffin.errors import Conflict, FailedPrecondition
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.networks.driver import EndpointSpec, NetworkSpec, Sandbox
from tiffin.networks.flows import forget_udp_flows
from tiffin.networks.resolver_redirect import redirect_dns
from tiffin.state.networks import EndpointRecord, NetworkRecord

log = logging.getLogger(__name__)

Members = list[tuple[NetworkRecord, EndpointRecord]]


def plug(context: Context, allocation: Allocation, sandbox: Sandbox) -> Members:
    """Make the endpoints in the sandbox; undone if it fails. Returns what was made."""
    with ExitStack() as undo:
        try:
            Channel(sandbox.rtnetlink).execute([rt.set_link(rt.LOOPBACK_INDEX, up=True)])
            for network, endpoint in allocation.endpoints:
                _attach(context, network, endpoint, sandbox)
                undo.callback(context.driver(network.driver).detach, network, endpoint)
            if any(network.name not in PREDEFINED for network, _ in allocation.endpoints):
                redirect_dns(sandbox)
        except OSError as error:
            raise FailedPrecondition(f"failed to set up container networking: {error}") from error
        members = _note_plugged(context, allocation, sandbox)
        undo.pop_all()
    return members


def members(context: Context, container: str) -> Members:
    """Return the networks that a container is on."""
    with context.lock:
        return [
            (network, endpoint)
            for endpoint in context.registry.endpoints_of(container)
            if (network := context.registry.network(endpoint.network)) is not None
        ]


def release(context: Context, container: str) -> Members:
    """Give everything back that the container's endpoints took. Idempotent."""
    released = members(context, container)
    for network, endpoint in released:
        detach(context, network, endpoint, sandbox_ends=True)
    with context.lock:
        context.registry.drop_endpoints(context.registry.endpoints_of(container))
        context.names.remove(container)
        for network, _ in released:
            write_names(context, network)
    return released


def detach(
    context: Context,
    network: NetworkRecord,
    endpoint: EndpointRecord,
    *,
    sandbox_ends: bool = False,
) -> None:
    """Take an endpoint out of the kernel."""
    spec = endpoint_spec(endpoint)
    try:
        driver = context.driver(network.driver)
        driver.detach(network_spec(network), spec, sandbox_ends=sandbox_ends)
        forget_udp_flows(spec)
    except OSError as error:
        raise FailedPrecondition(
            f"failed to detach container {endpoint.container_name} from network"
            f" {network.name}: {error}"
        ) from error


def sweep(context: Context) -> bool:
    """Remove what is left of endpoints that were released a while ago; tell if more is to come."""
    more = False
    for driver in context.drivers.values():
        try:
            more = driver.sweep() or more
        except OSError as error:
            log.error("removing the interfaces of ended containers: %s", error)
    return more


def write_names(context: Context, network: NetworkRecord) -> None:
    """Tell the resolvers who is on a network now. The lock is held."""
    if network.name not in PREDEFINED:
        context.names.write_network(network, context.registry.endpoints_on(network.id))


def retain(context: Context, running: Collection[str]) -> list[Members]:
    """Release the endpoints of all other containers; each as far as it goes."""
    with context.lock:
        gone = {e.container for e in context.registry.endpoints()} - set(running)
    return _each(gone, lambda container: release(context, container))


def rename(context: Context, container: str, name: str) -> None:
    """Let a container be found under a new name."""
    with context.lock:
        changed = [
            (network, replace(endpoint, container_name=name, names=_renamed(endpoint, name)))
            for network, endpoint in members(context, container)
        ]
        context.registry.put_endpoints([endpoint for _, endpoint in changed])
        for network, _ in changed:
            write_names(context, network)


def _renamed(endpoint: EndpointRecord, name: str) -> tuple[str, ...]:
    if not endpoint.names:
        return ()
    others = (n for n in endpoint.names if n != endpoint.container_name)
    return tuple(dict.fromkeys((name, *others)))


def _attach(
    context: Context, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox
) -> None:
    driver = context.driver(network.driver)
    driver.attach(network, endpoint, sandbox)
    forget_udp_flows(endpoint)


def _note_plugged(context: Context, allocation: Allocation, sandbox: Sandbox) -> Members:
    with context.lock:
        plugged = members(context, allocation.container)
        if len(plugged) != len(allocation.endpoints):
            # Released meanwhile, by a removal with force.
            raise Conflict(f"container {allocation.container} is being removed")
        noted = [
            (
                network,
                replace(
                    endpoint,
                    dns_udp_port=sandbox.dns_udp_port,
                    dns_tcp_port=sandbox.dns_tcp_port,
                ),
            )
            for network, endpoint in plugged
        ]
        if sandbox.dns_udp_port:
            context.registry.put_endpoints([endpoint for _, endpoint in noted])
        for network, _ in noted:
            write_names(context, network)
    return noted


def _each(items: Iterable[str], work: Callable[[str], Members]) -> list[Members]:
    done: list[Members] = []
    for item in items:
        try:
            done.append(work(item))
        except FailedPrecondition as error:
            log.error("releasing the network of container %s: %s", item, error)
    return done
