"""`network connect`: plug a container into one more network."""

from typing import Any

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import STRINGS, Flag, Values, integer, listing, string
from tiffin.cli.parse_env import key_values
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Connect."""
    network, container = arguments
    endpoint: dict[str, Any] = {}
    addresses = {"IPv4Address": values["ip"], "IPv6Address": values["ip6"],
                 "LinkLocalIPs": values["link-local-ip"]}  # fmt: skip
    given = {name: value for name, value in addresses.items() if value}
    if given:
        endpoint["IPAMConfig"] = given
    if values["alias"]:
        endpoint["Aliases"] = values["alias"]
    if values["link"]:
        endpoint["Links"] = values["link"]
    if values["driver-opt"]:
        endpoint["DriverOpts"] = key_values(values["driver-opt"])
    if values["gw-priority"]:
        endpoint["GwPriority"] = values["gw-priority"]
    body = {"Container": container, "EndpointConfig": endpoint}
    context.api.post(f"/networks/{path_part(network)}/connect", None, body)
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] NETWORK CONTAINER",
    summary="Connect a container to a network",
    run=run,
    minimum=2,
    maximum=2,
    flags=[
        Flag("alias", STRINGS, "Add network-scoped alias for the container"),
        Flag("driver-opt", STRINGS, "driver options for the network"),
        integer("gw-priority", "Highest gw-priority provides the default gateway"),
        string("ip", 'IPv4 address (e.g., "172.30.100.104")'),
        string("ip6", 'IPv6 address (e.g., "2001:db8::33")'),
        listing("link", "Add link to another container"),
        Flag("link-local-ip", STRINGS, "Add a link-local address for the container"),
    ],
)
