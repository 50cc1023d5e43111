"""Connects and disconnects containers, running or not."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import msgspec

from tiffin.api.types.networks import EndpointSettings
from tiffin.engine.networks import files, lifecycle
from tiffin.engine.networks.allocate import (
    Planned,
    hosts_text,
    plan_endpoint,
    with_default_route,
    write_container_names,
)
from tiffin.engine.networks.context import (
    HOST_NETWORK,
    NONE_NETWORK,
    PREDEFINED,
    Context,
)
from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.engine.networks.records import endpoint_spec, network_spec
from tiffin.engine.networks.wishes import endpoint_wishes, main_network, shares_network
from tiffin.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel
from tiffin.networks.bridge import ignore_missing, published
from tiffin.networks.driver import Sandbox
from tiffin.networks.firewall import Published
from tiffin.networks.resolver_redirect import redirect_dns
from tiffin.state.networks import EndpointRecord, NetworkRecord, PortRecord


def connect(
    context: Context,
    reference: str,
    container: ContainerNetworks,
    settings: EndpointSettings | None,
    sandbox: Sandbox | None,
) -> NetworkRecord:
    """Connect; live if there is a sandbox. Nothing is changed if it fails."""
    with context.lock, ExitStack() as undo:
        network = context.registry.find(reference)
        _check_connectable(context, network, container)
        wish = settings or EndpointSettings()
        files.check_line_words("network alias", wish.aliases)
        files.check_line_words("link", wish.links)
        if sandbox is not None:
            _plug(context, network, container, wish, sandbox, undo)
        encoded = msgspec.json.encode(wish)
        context.registry.put_connection(container.id, network.id, encoded)
        undo.callback(context.registry.put_connection, container.id, network.id, None)
        if sandbox is not None:
            _refresh(context, network, container)
        undo.pop_all()
    return network


def disconnect(
    context: Context,
    reference: str,
    container: ContainerNetworks,
    sandbox: Sandbox | None,
) -> NetworkRecord:
    """Disconnect; live if there is a sandbox. PermissionDenied unless it is connected."""
    with context.lock:
        network = context.registry.find(reference)
        if network.name == HOST_NETWORK:
            raise PermissionDenied("container cannot be disconnected from host network")
        record = context.registry.endpoint(container.id, network.id)
        wished = network.name in endpoint_wishes(container, context.registry)
        if record is None and not wished:
            raise PermissionDenied(
                f"container {container.id} is not connected to network {network.name}"
            )
        if record is not None:
            _unplug(context, network, record, container, sandbox)
        context.registry.put_connection(container.id, network.id, None)
    return network


def _check_connectable(
    context: Context, network: NetworkRecord, container: ContainerNetworks
) -> None:
    main = main_network(container)
    if shares_network(container):
        raise PermissionDenied(
            "container sharing network namespace with another container or host cannot be"
            " connected to any other network"
        )
    if main == HOST_NETWORK or network.name == HOST_NETWORK:
        raise PermissionDenied(
            "container cannot be disconnected from host network or connected to host network"
        )
    if main == NONE_NETWORK or network.name == NONE_NETWORK:
        raise PermissionDenied(
            "container cannot be connected to multiple networks with one of the networks in"
            " private (none) mode"
        )
    if network.config_only:
        raise InvalidArgument(
            f"configuration-only network {network.name} cannot be used to run containers"
        )
    if context.registry.endpoint(container.id, network.id) is not None or (
        not context.registry.endpoints_of(container.id)
        and network.name in endpoint_wishes(container, context.registry)
    ):
        raise PermissionDenied(
            f"endpoint with name {container.name} already exists in network {network.name}"
        )


def _plug(
    context: Context,
    network: NetworkRecord,
    container: ContainerNetworks,
    wish: EndpointSettings,
    sandbox: Sandbox,
    undo: ExitStack,
) -> None:
    own = context.registry.endpoints_of(container.id)
    record = plan_endpoint(
        context,
        container,
        network,
        wish,
        sandbox=own[0].sandbox if own else container.id,
        used=[endpoint.interface for endpoint in own],
    )
    record = replace(
        record,
        dns_udp_port=sandbox.dns_udp_port,
        dns_tcp_port=sandbox.dns_tcp_port,
    )
    context.registry.put_endpoints([record])
    undo.callback(context.registry.drop_endpoints, [record])
    try:
        spec = network_spec(network)
        context.driver(network.driver).attach(spec, endpoint_spec(record), sandbox)
        undo.callback(lifecycle.detach, context, network, record)
        if network.name not in PREDEFINED:
            redirect_dns(sandbox)
        _settle_default_route(context, container, sandbox, undo, {network.name: wish})
    except OSError as error:
        raise FailedPrecondition(
            f"failed to connect container {container.name} to network {network.name}: {error}"
        ) from error


def _unplug(
    context: Context,
    network: NetworkRecord,
    record: EndpointRecord,
    container: ContainerNetworks,
    sandbox: Sandbox | None,
) -> None:
    lifecycle.detach(context, network, record)
    context.registry.drop_endpoints([record])
    if sandbox is not None:
        # Most interfaces went with their other end; a macvlan has none.
        ignore_missing(Channel(sandbox.rtnetlink), rt.delete_link(record.interface))
    if record.default_route and sandbox is not None:
        _settle_default_route(context, container, sandbox, ports=record.ports)
    _refresh(context, network, container)


def _settle_default_route(
    context: Context,
    container: ContainerNetworks,
    sandbox: Sandbox,
    undo: ExitStack | None = None,
    wishes: Mapping[str, EndpointSettings] | None = None,
    *,
    ports: tuple[PortRecord, ...] = (),
) -> None:
    """Let the right endpoint lead outside, and the published ports lead to it.

    `wishes` are those that are not noted yet, `ports` those of an endpoint that is gone.
    """
    planned = with_default_route(_planned(context, container, wishes or {}))
    heir = next((item.record for item in planned if item.record.default_route), None)
    own = context.registry.endpoints_of(container.id)
    holder = next((endpoint for endpoint in own if endpoint.default_route), None)
    if heir is None or (holder is not None and holder.id == heir.id):
        return
    if holder is not None:
        ports = holder.ports
        context.firewall.retract(_published(context, holder))
        context.registry.put_endpoints([replace(holder, default_route=False, ports=())])
        if undo is not None:
            undo.callback(_hand_over, context, container, sandbox, holder)
    _hand_over(context, container, sandbox, replace(heir, ports=ports))


def _hand_over(
    context: Context, container: ContainerNetworks, sandbox: Sandbox, heir: EndpointRecord
) -> None:
    context.registry.put_endpoints([heir])
    spec = endpoint_spec(heir)
    inside = Channel(sandbox.rtnetlink)
    try:
        link = rt.find_link(inside, heir.interface)
        if link is None:
            raise NotFound(f"interface {heir.interface} is not in container {container.name}")
        gateways = [ip_address(text) for text in (spec.gateway4, spec.gateway6) if text]
        inside.execute([rt.default_route(gateway, index=link.index) for gateway in gateways])
        context.firewall.publish(_published(context, heir))
    except OSError as error:
        raise FailedPrecondition(
            f"failed to move the default route of container {container.name}: {error}"
        ) from error


def _published(context: Context, endpoint: EndpointRecord) -> list[Published]:
    network = context.registry.network(endpoint.network)
    return [] if network is None else published(network_spec(network), endpoint_spec(endpoint))


def _planned(
    context: Context,
    container: ContainerNetworks,
    more: Mapping[str, EndpointSettings] | None = None,
) -> list[Planned]:
    wishes = {**endpoint_wishes(container, context.registry), **(more or {})}
    return [
        Planned(network, wishes.get(network.name, EndpointSettings()), endpoint)
        for network, endpoint in lifecycle.members(context, container.id)
    ]


def _refresh(context: Context, network: NetworkRecord, container: ContainerNetworks) -> None:
    """Tell the resolvers, and rewrite the container's files, which are mounted into it."""
    lifecycle.write_names(context, network)
    planned = _planned(context, container)
    write_container_names(context, container, planned)
    directory = context.roots.container(container.id)
    _rewrite(directory / "hosts", hosts_text(context, container))
    host = files.host_resolvers()
    wanted = files.wanted_resolvers(container, context.options, host)
    _rewrite(
        directory / "resolv.conf",
        files.resolv_conf(wanted, host, embedded=_resolves(planned), isolated=True),
    )


def _resolves(planned: Sequence[Planned]) -> bool:
    return any(item.network.name not in PREDEFINED and item.record.dns_udp_port for item in planned)


def _rewrite(path: Path, text: str) -> None:
    # In place: the file is bind-mounted, a new one would not show in the container.
    if path.exists():
        path.write_text(text)
