"""Removed networks, as the trash brings them back or drops them."""

from ipaddress import ip_network

from tiffin.engine.networks.context import Context
from tiffin.engine.networks.create import finish
from tiffin.errors import Conflict
from tiffin.state.networks import NetworkRecord, retired_network
from tiffin.state.retired import Retired


def restore(context: Context, item: Retired) -> NetworkRecord:
    """Make a network again as it was; Conflict if its name or addresses are taken by now."""
    record = retired_network(item)
    with context.lock:
        if context.registry.by_name(record.name) is not None:
            raise Conflict(f"network with name {record.name} already exists")
        _check_subnets(context, record)
        made = finish(context, record)
        context.registry.restored(item)
    return made


def _check_subnets(context: Context, record: NetworkRecord) -> None:
    for pool in record.pools:
        wanted = ip_network(pool.subnet)
        for other in context.registry.networks():
            for taken in (ip_network(pool.subnet) for pool in other.pools):
                if taken.version == wanted.version and taken.overlaps(wanted):
                    raise Conflict(
                        f"network {record.name} had {wanted}, which overlaps with {taken} of "
                        f"network {other.name}"
                    )
