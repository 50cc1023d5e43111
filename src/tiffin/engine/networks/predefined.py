"""The three networks that are always there: `bridge`, `host` and `none`."""

import logging
from dataclasses import replace
from ipaddress import ip_interface, ip_network

from tiffin.api.types.networks import IPAM, IPAMConfig
from tiffin.engine.networks.context import (
    DEFAULT_NETWORK,
    HOST_NETWORK,
    NONE_NETWORK,
    Context,
)
from tiffin.engine.networks.create import choose_pools
from tiffin.engine.networks.moments import now
from tiffin.engine.networks.records import network_spec
from tiffin.errors import InvalidArgument
from tiffin.linux import rtnetlink as rt
from tiffin.networks.bridge import DEFAULT_MTU, default_mtu
from tiffin.networks.bridge_options import (
    OPTION_DEFAULT,
    OPTION_HOST_BINDING,
    OPTION_ICC,
    OPTION_MASQUERADE,
    OPTION_MTU,
    OPTION_NAME,
)
from tiffin.spec.ids import new_id
from tiffin.state.networks import NetworkRecord

log = logging.getLogger(__name__)


def ensure_predefined(context: Context) -> None:
    """Make the records of the three networks, and bring the bridge's up to the configuration."""
    for name, driver in ((HOST_NETWORK, "host"), (NONE_NETWORK, "null")):
        if context.registry.by_name(name) is None:
            context.registry.put_network(
                NetworkRecord(
                    id=new_id(),
                    name=name,
                    created=now(),
                    driver=driver,
                    ipv4=True,
                    predefined=True,
                    ready=True,
                )
            )
    before = context.registry.by_name(DEFAULT_NETWORK)
    if context.options.bridge == "none":
        if before is not None:
            context.bridges.delete(network_spec(before))
            context.registry.drop_network(before.id)
        return
    wanted = _default_bridge(context, before)
    if before is None or before == wanted or _same_bridge(context, before, wanted):
        context.registry.put_network(wanted)
    elif context.registry.endpoints_on(before.id):
        log.warning("the default bridge stays as it is: containers are on it")
    else:
        context.bridges.delete(network_spec(before))
        context.registry.put_network(wanted)


def _default_bridge(context: Context, before: NetworkRecord | None) -> NetworkRecord:
    options = context.options
    name = options.bridge or f"{context.roots.tag}0"
    ipam = _ipam(context)
    record = before or NetworkRecord(
        id=new_id(), name=DEFAULT_NETWORK, created=now(), driver="bridge", predefined=True
    )
    unchanged = before is not None and before.ipv6 == options.ipv6 and (
        not ipam.config or _fits(before, ipam)
    )  # fmt: skip
    pools = record.pools
    if not unchanged:
        pools = choose_pools(context, ipam, ipv4=True, ipv6=options.ipv6, replacing=record.id)
        if before is not None and not ipam.config and not options.ipv6:
            # What was chosen once stays: containers' users know its addresses.
            pools = tuple(p for p in before.pools if ip_network(p.subnet).version == 4) or pools
    return replace(
        record,
        ready=True,
        ipv6=options.ipv6,
        pools=pools,
        options={
            OPTION_DEFAULT: "true",
            OPTION_ICC: _word(options.icc),
            OPTION_MASQUERADE: _word(options.ip_masq),
            OPTION_HOST_BINDING: options.publish_ip or "0.0.0.0",
            OPTION_NAME: name,
            OPTION_MTU: str(_mtu(context)),
        },
    )


def _ipam(context: Context) -> IPAM:
    """Return the configured subnets: of `--bip`, or those that a given bridge has."""
    options = context.options
    given = [(options.bip, options.fixed_cidr), (options.bip6, options.fixed_cidr_v6)]
    if options.bridge and not options.bip:
        given[0] = (_bridge_address(context, options.bridge), options.fixed_cidr)
    configs: list[IPAMConfig] = []
    for address, part in given:
        try:
            if address:
                interface = ip_interface(address)
                configs.append(
                    IPAMConfig(
                        subnet=str(interface.network),
                        gateway=str(interface.ip),
                        ip_range=part if part != str(interface.network) else "",
                    )
                )
            elif part:
                configs.append(IPAMConfig(subnet=str(ip_network(part, strict=False))))
        except ValueError as error:
            raise InvalidArgument(f"invalid address of the default bridge: {error}") from error
    return IPAM(config=configs)


def _bridge_address(context: Context, name: str) -> str:
    link = rt.find_link(context.channel, name)
    if link is None:
        raise InvalidArgument(
            f"bridge device with non default name {name} must be created manually"
        )
    addresses = rt.dump_addresses(context.channel)
    return next((str(a) for i, a in addresses if i == link.index and a.version == 4), "")


def _fits(record: NetworkRecord, ipam: IPAM) -> bool:
    """Whether the subnets are those of the configuration."""
    pools = {pool.subnet: pool for pool in record.pools if pool.configured}
    return len(pools) == len(ipam.config) and all(
        (pool := pools.get(config.subnet)) is not None
        and pool.range == config.ip_range
        and config.gateway in ("", pool.gateway)
        for config in ipam.config
    )


def _same_bridge(context: Context, before: NetworkRecord, wanted: NetworkRecord) -> bool:
    one, other = network_spec(before), network_spec(wanted)
    return (
        context.bridges.bridge_name(one) == context.bridges.bridge_name(other)
        and one.gateways == other.gateways
    )


def _mtu(context: Context) -> int:
    # What is merely Docker's default would break the way out where that takes less.
    asked = context.options.mtu
    return asked if asked not in (0, DEFAULT_MTU) else default_mtu(context.channel)


def _word(value: bool) -> str:
    return "true" if value else "false"
