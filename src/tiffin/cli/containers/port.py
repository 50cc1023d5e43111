"""`port`: published ports of a container."""

from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print all mappings, or the addresses of one port."""
    del values
    container = context.api.get(f"/containers/{path_part(arguments[0])}/json")
    ports: dict[str, Any] = container["NetworkSettings"].get("Ports") or {}
    if len(arguments) == 2:
        return _one(arguments[0], arguments[1], ports)
    for port in sorted(ports, key=_sort_key):
        for binding in ports[port] or []:
            print(f"{port} -> {_address(binding)}")
    return 0


def _one(name: str, wanted: str, ports: dict[str, Any]) -> int:
    number, _, protocol = wanted.partition("/")
    if not number.isdigit():
        raise CommandFailed(
            f'Error: invalid port ({number}): strconv.ParseUint: parsing "{number}": invalid syntax'
        )
    port = f"{number}/{protocol or 'tcp'}"
    if not ports.get(port):
        raise CommandFailed(f"Error: No public port '{wanted}' published for {name}")
    for binding in ports[port]:
        print(_address(binding))
    return 0


def _address(binding: dict[str, str]) -> str:
    ip = binding["HostIp"]
    return f"[{ip}]:{binding['HostPort']}" if ":" in ip else f"{ip}:{binding['HostPort']}"


def _sort_key(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number), protocol


COMMAND = Command(
    synopsis="CONTAINER [PRIVATE_PORT[/PROTO]]",
    summary="List port mappings or a specific mapping for the container",
    run=run,
    minimum=1,
    maximum=2,
)
