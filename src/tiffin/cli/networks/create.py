"""`network create`: make a network."""

import ipaddress
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import MAP, STRINGS, Flag, Values, boolean, listing, string
from tiffin.cli.parse_env import key_values, labels


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Create and print the id."""
    body: dict[str, Any] = {
        "Name": arguments[0],
        "Driver": values["driver"],
        "Scope": values["scope"],
        "Internal": values["internal"],
        "Attachable": values["attachable"],
        "Ingress": values["ingress"],
        "ConfigOnly": values["config-only"],
        "Options": key_values(values["opt"]),
        "Labels": labels(values["label"], []),
        "IPAM": {
            "Driver": values["ipam-driver"],
            "Options": key_values(values["ipam-opt"]),
            "Config": _pools(values),
        },
    }
    if values["config-from"]:
        body["ConfigFrom"] = {"Network": values["config-from"]}
    for flag, member in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if values.given(flag):
            body[member] = values[flag]
    answer = context.api.post("/networks/create", None, body)
    if answer.get("Warning"):
        context.warn(answer["Warning"])
    print(answer["Id"])
    return 0


def _pools(values: Values) -> list[dict[str, Any]]:
    """Assign gateways, ranges and auxiliary addresses to the subnets that contain them."""
    subnets = values["subnet"]
    pools: list[dict[str, Any]] = [{"Subnet": text} for text in subnets]
    if not subnets and (values["ip-range"] or values["gateway"]):
        raise CommandFailed("every ip-range or gateway must have a corresponding subnet")
    for text in values["ip-range"]:
        _assign(pools, text.partition("/")[0], "IPRange", text, "range")
    for text in values["gateway"]:
        _assign(pools, text, "Gateway", text, "gateway")
    for text in values["aux-address"]:
        name, _, address = text.partition("=")
        pool = _owner(pools, address)
        if pool is None:
            raise CommandFailed(f"no matching subnet for aux-address {address}")
        pool.setdefault("AuxiliaryAddresses", {})[name] = address
    return pools


def _assign(pools: list[dict[str, Any]], address: str, member: str, text: str, what: str) -> None:
    pool = _owner(pools, address)
    if pool is None:
        raise CommandFailed(f"no matching subnet for {what} {text}")
    pool[member] = text


def _owner(pools: list[dict[str, Any]], address: str) -> dict[str, Any] | None:
    try:
        wanted = ipaddress.ip_address(address)
        return next(
            (
                pool
                for pool in pools
                if wanted in ipaddress.ip_network(pool["Subnet"], strict=False)
            ),
            None,
        )
    except ValueError as error:
        raise CommandFailed(f"invalid CIDR address: {error}") from error


COMMAND = Command(
    synopsis="[OPTIONS] NETWORK",
    summary="Create a network",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        boolean("attachable", "Enable manual container attachment"),
        listing("aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver", kind=MAP),
        string("config-from", "The network from which to copy the configuration"),
        boolean("config-only", "Create a configuration only network"),
        string("driver", "Driver to manage the Network", "d", "bridge"),
        Flag("gateway", STRINGS, "IPv4 or IPv6 Gateway for the master subnet"),
        boolean("ingress", "Create swarm routing-mesh network"),
        boolean("internal", "Restrict external access to the network"),
        Flag("ip-range", STRINGS, "Allocate container ip from a sub-range"),
        string("ipam-driver", "IP Address Management Driver", default="default"),
        listing("ipam-opt", "Set IPAM driver specific options", kind=MAP),
        boolean("ipv4", "Enable or disable IPv4 address assignment"),
        boolean("ipv6", "Enable or disable IPv6 address assignment"),
        listing("label", "Set metadata on a network"),
        listing("opt", "Set driver specific options", "o", MAP),
        string("scope", "Control the network's scope"),
        Flag("subnet", STRINGS, "Subnet in CIDR format that represents a network segment"),
    ],
)
