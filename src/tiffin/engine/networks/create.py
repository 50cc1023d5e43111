"""Makes networks: checks the request, chooses subnets, makes the kernel's side."""

import logging
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_network

from tiffin.api.types.networks import IPAM, IPAMConfig, NetworkCreateRequest
from tiffin.engine.networks.context import PREDEFINED, Context
from tiffin.engine.networks.moments import now
from tiffin.engine.networks.records import network_spec, pool_record
from tiffin.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from tiffin.linux import rtnetlink as rt
from tiffin.networks.bridge_options import (
    FALSE_WORDS,
    OPTION_NAME,
    TRUE_WORDS,
    BridgeOptions,
)
from tiffin.networks.ipam import Address, PoolWish, Subnet
from tiffin.networks.ipvlan import routes_itself
from tiffin.spec.ids import new_id
from tiffin.state.networks import NetworkRecord, PoolRecord

OPTION_IPV4 = "com.docker.network.enable_ipv4"
OPTION_IPV6 = "com.docker.network.enable_ipv6"
SWARM_ONLY = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to'
    " connect this node to swarm and try again."
)

log = logging.getLogger(__name__)


def create(context: Context, request: NetworkCreateRequest) -> NetworkRecord:
    """Make a network; nothing of it is left if that fails."""
    with context.lock:
        return finish(context, _record(context, request))


def finish(context: Context, record: NetworkRecord) -> NetworkRecord:
    """Make what a record says; nothing of it is left if that fails. The caller holds the lock."""
    context.registry.put_network(replace(record, ready=False))
    with ExitStack() as undo:
        undo.callback(context.registry.drop_network, record.id)
        if not record.config_only:
            make(context, record)
        record = record.as_ready()
        context.registry.put_network(record)
        undo.pop_all()
    return record


def make(context: Context, record: NetworkRecord) -> None:
    """Make the kernel's side of a network, or complete it."""
    try:
        context.driver(record.driver).create(network_spec(record))
    except OSError as error:
        raise FailedPrecondition(f"Failed to create network {record.name}: {error}") from error


def choose_pools(
    context: Context,
    ipam: IPAM | None,
    *,
    ipv4: bool,
    ipv6: bool,
    gatewayless: Collection[int] = (),
    replacing: str = "",
) -> tuple[PoolRecord, ...]:
    """Check the configured subnets and choose the missing ones.

    The families `gatewayless` set no address aside for a gateway unless one is asked for.
    """
    wishes = [_pool_wish(c) for c in (ipam.config if ipam else ()) if not _is_empty(c)]
    wishes = [w for w in wishes if (ipv4 if w.version == 4 else ipv6)]
    for version, enabled in ((4, ipv4), (6, ipv6)):
        if enabled and not any(wish.version == version for wish in wishes):
            wishes.append(PoolWish(version))
    ours: list[Subnet] = [
        ip_network(pool.subnet)
        for network in context.registry.networks()
        if network.id != replacing and not network.config_only
        for pool in network.pools
    ]
    routed = _routed(context)
    chosen: list[PoolRecord] = []
    for wish in wishes:
        made = context.ipam.pool(
            replace(wish, gatewayless=wish.version in gatewayless), ours, routed
        )
        ours.append(made.subnet)
        chosen.append(pool_record(made, configured=wish.subnet is not None))
    return tuple(chosen)


def _record(context: Context, request: NetworkCreateRequest) -> NetworkRecord:
    _check_name(context, request.name)
    request = _with_config_from(context, request)
    driver = request.driver or "bridge"
    _check_driver(context, request, driver)
    options = _options(context, request, driver)
    ipv4 = _family(request.enable_ipv4, options, OPTION_IPV4, default=True)
    ipv6 = _family(request.enable_ipv6, options, OPTION_IPV6, default=context.options.ipv6)
    if not ipv4 and not ipv6 and not request.config_only:
        raise InvalidArgument("IPv4 or IPv6 must be enabled")
    _check_ipam(request.ipam)
    pools: tuple[PoolRecord, ...] = ()
    if request.config_only:
        pools = tuple(
            PoolRecord(c.subnet, c.gateway, c.ip_range, c.auxiliary_addresses, configured=True)
            for c in (request.ipam.config if request.ipam else ())
        )
    elif driver not in ("host", "null"):
        bare = _gatewayless(driver, options, internal=request.internal)
        pools = choose_pools(context, request.ipam, ipv4=ipv4, ipv6=ipv6, gatewayless=bare)
    record = NetworkRecord(
        id=new_id(),
        name=request.name,
        created=now(),
        driver=driver,
        ipv4=ipv4,
        ipv6=ipv6,
        internal=request.internal,
        attachable=request.attachable,
        config_only=request.config_only,
        config_from=request.config_from.network if request.config_from else "",
        ipam_driver=(request.ipam.driver if request.ipam else "") or "default",
        ipam_options=request.ipam.options if request.ipam else None,
        pools=pools,
        options=options,
        labels=request.labels,
    )
    if driver == "bridge":
        checked = replace(record, pools=()) if record.config_only else record
        context.bridges.check(network_spec(checked))
        _check_bridge_name(context, record)
    return record


def _check_name(context: Context, name: str) -> None:
    if not name.strip():
        raise InvalidArgument("invalid network name: name is empty")
    if name in (*PREDEFINED, "default"):
        raise PermissionDenied(f"operation is not permitted on predefined {name} network ")
    if name != name.strip() or "/" in name or not name.isprintable():
        raise InvalidArgument(
            f"invalid network name {name!r}: it has slashes, control characters or outer blanks"
        )
    if context.registry.by_name(name) is not None:
        raise AlreadyExists(f"network with name {name} already exists")


def _check_driver(context: Context, request: NetworkCreateRequest, driver: str) -> None:
    if request.ingress or request.scope == "swarm" or driver == "overlay":
        raise PermissionDenied(SWARM_ONLY)
    if driver in ("host", "null"):
        raise PermissionDenied(f'only one instance of "{driver}" network is allowed')
    context.driver(driver)
    if request.ipam and request.ipam.driver not in ("", "default"):
        raise NotFound(f'plugin "{request.ipam.driver}" not found')


def _with_config_from(context: Context, request: NetworkCreateRequest) -> NetworkCreateRequest:
    """Take the configuration of a config-only network."""
    if request.config_from is None or not request.config_from.network:
        return request
    if request.config_only:
        raise InvalidArgument("a configuration-only network cannot use another one")
    if (request.ipam and request.ipam.config) or request.options or request.internal:
        raise InvalidArgument(
            "user specified configurations are not supported if the network depends on a"
            " configuration network"
        )
    source = context.registry.find(request.config_from.network)
    if not source.config_only:
        raise PermissionDenied(f"network {source.name} is not a configuration-only network")
    config = [
        IPAMConfig(
            subnet=pool.subnet,
            gateway=pool.gateway,
            ip_range=pool.range,
            auxiliary_addresses=pool.reserved,
        )
        for pool in source.pools
    ]
    return NetworkCreateRequest(
        name=request.name,
        driver=request.driver,
        enable_ipv4=source.ipv4,
        enable_ipv6=source.ipv6,
        ipam=IPAM(config=config, options=source.ipam_options),
        internal=source.internal,
        attachable=request.attachable,
        config_from=request.config_from,
        options=dict(source.options),
        labels={**source.labels, **request.labels},
    )


def _check_bridge_name(context: Context, record: NetworkRecord) -> None:
    name = record.options.get(OPTION_NAME, "")
    if not name:
        return
    for other in context.registry.networks():
        if other.driver == "bridge" and context.bridges.bridge_name(network_spec(other)) == name:
            raise PermissionDenied(
                f"cannot create network {record.id} ({name}): conflicts with network {other.id}"
                f" ({name}): networks have same bridge name"
            )


def _gatewayless(driver: str, options: dict[str, str], *, internal: bool) -> list[int]:
    if driver == "bridge":
        read = BridgeOptions.read(options)
        return [version for version in (4, 6) if not read.has_gateway(version, internal=internal)]
    return [4, 6] if internal or routes_itself(driver, options) else []


def _options(context: Context, request: NetworkCreateRequest, driver: str) -> dict[str, str]:
    """Return the driver's options: the request's, then those that all new networks get."""
    if request.config_from is not None:
        return request.options
    return {**context.options.network_options.get(driver, {}), **request.options}


def _family(asked: bool | None, options: dict[str, str], name: str, *, default: bool) -> bool:
    if asked is not None:
        # Both would look wrong together: what is asked for counts.
        options.pop(name, None)
        return asked
    if name not in options:
        return default
    if options[name] not in TRUE_WORDS | FALSE_WORDS:
        raise InvalidArgument(f'driver-opt "{name}" is not a valid bool')
    return options[name] in TRUE_WORDS


def _check_ipam(ipam: IPAM | None) -> None:
    problems: list[str] = []
    for subnet in [config.subnet for config in (ipam.config if ipam else ()) if config.subnet]:
        try:
            network = ip_network(subnet, strict=False)
        except ValueError:
            problems.append(f"invalid subnet {subnet}: invalid CIDR block notation")
            continue
        if ip_address(subnet.partition("/")[0]) != network.network_address:
            problems.append(f"invalid subnet {subnet}: it should be {network}")
    if problems:
        raise InvalidArgument("invalid network config:\n" + "\n".join(problems))


def _is_empty(config: IPAMConfig) -> bool:
    return not (config.subnet or config.gateway or config.ip_range or config.auxiliary_addresses)


def _pool_wish(config: IPAMConfig) -> PoolWish:
    try:
        subnet = ip_network(config.subnet, strict=False) if config.subnet else None
        part = ip_network(config.ip_range, strict=False) if config.ip_range else None
        gateway = ip_address(config.gateway) if config.gateway else None
        reserved = {
            name: ip_address(text) for name, text in config.auxiliary_addresses.items() if text
        }
    except ValueError as error:
        raise InvalidArgument(f"invalid network config:\n{error}") from error
    if subnet is None:
        what = f"gateway {gateway}" if gateway else f"ip-range {part}" if part else "address"
        raise InvalidArgument(f"invalid network config:\n{what} without a subnet that holds it")
    same: list[Address | Subnet] = [item for item in (part, gateway) if item is not None]
    if any(item.version != subnet.version for item in (*same, *reserved.values())):
        raise InvalidArgument(
            f"invalid network config:\nsubnet {subnet} has parts of another address family"
        )
    return PoolWish(subnet.version, subnet, part, gateway, reserved=reserved)


def _routed(context: Context) -> list[Subnet]:
    """Return what the host reaches already, the default routes apart."""
    routes = [r.destination for r in rt.dump_routes(context.channel) if r.destination.prefixlen]
    addresses = [address.network for _index, address in rt.dump_addresses(context.channel)]
    return [*routes, *addresses]
