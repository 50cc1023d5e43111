"""`info`: the daemon and its machine."""

import sys
from typing import Any

from tiffin import __version__
from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, string
from tiffin.client.api import ApiError
from tiffin.client.http import ConnectFailed
from tiffin.wire.template import Template
from tiffin.wire.template_functions import to_json

Info = dict[str, Any]


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print what the daemon says of itself; 1 if it does not answer."""
    del arguments
    try:
        info: Info = context.api.get("/info")
    except (ApiError, ConnectFailed) as error:
        if not values["format"]:
            _print_client(context)
        print(f"\nServer:\nERROR: {error}\nerrors pretty printing info", file=sys.stderr)
        return 1
    if values["format"]:
        print(
            to_json(info) if values["format"] == "json" else Template(values["format"]).render(info)
        )
        return 0
    _print_client(context)
    print("\nServer:")
    for line in [*_counts(info), *_drivers(info), *_host(info), *_rest(info)]:
        print(f" {line}")
    for warning in info.get("Warnings") or []:
        print(warning, file=sys.stderr)
    return 0


def _print_client(context: Context) -> None:
    print("Client: Tiffin")
    print(f" Version:    {__version__}")
    print(f" Context:    {context.settings.context or 'default'}")
    print(f" Debug Mode: {str(context.settings.debug).lower()}")


def _counts(info: Info) -> list[str]:
    return [
        f"Containers: {info['Containers']}",
        f" Running: {info['ContainersRunning']}",
        f" Paused: {info['ContainersPaused']}",
        f" Stopped: {info['ContainersStopped']}",
        f"Images: {info['Images']}",
        f"Server Version: {info['ServerVersion']}",
    ]


def _drivers(info: Info) -> list[str]:
    lines = [f"Storage Driver: {info['Driver']}"]
    lines += [f" {name}: {value}" for name, value in info.get("DriverStatus") or []]
    plugins = info.get("Plugins") or {}
    lines += [
        f"Logging Driver: {info['LoggingDriver']}",
        f"Cgroup Driver: {info['CgroupDriver']}",
        f"Cgroup Version: {info.get('CgroupVersion', '1')}",
        "Plugins:",
        f" Volume: {' '.join(plugins.get('Volume') or [])}",
        f" Network: {' '.join(plugins.get('Network') or [])}",
        f" Log: {' '.join(plugins.get('Log') or [])}",
        f"Swarm: {(info.get('Swarm') or {}).get('LocalNodeState', 'inactive')}",
        f"Runtimes: {' '.join(sorted(info.get('Runtimes') or {}))}",
        f"Default Runtime: {info['DefaultRuntime']}",
        f"Init Binary: {info.get('InitBinary', '')}",
    ]
    options = info.get("SecurityOptions") or []
    if options:
        lines.append("Security Options:")
        for option in options:
            pairs = dict(part.partition("=")[::2] for part in option.split(","))
            lines.append(f" {pairs.pop('name', option)}")
            lines += [f"  {name.capitalize()}: {value}" for name, value in pairs.items()]
    return lines


def _host(info: Info) -> list[str]:
    return [
        f"Kernel Version: {info['KernelVersion']}",
        f"Operating System: {info['OperatingSystem']}",
        f"OSType: {info['OSType']}",
        f"Architecture: {info['Architecture']}",
        f"CPUs: {info['NCPU']}",
        f"Total Memory: {human.binary_size(info['MemTotal'])}",
        f"Name: {info['Name']}",
        f"ID: {info['ID']}",
        f"Docker Root Dir: {info['DockerRootDir']}",
        f"Debug Mode: {str(info['Debug']).lower()}",
    ]


def _rest(info: Info) -> list[str]:
    lines = []
    if info.get("Labels"):
        lines += ["Labels:", *(f" {label}" for label in info["Labels"])]
    lines.append(f"Experimental: {str(info.get('ExperimentalBuild', False)).lower()}")
    registry = info.get("RegistryConfig") or {}
    insecure = [
        name
        for name, index in (registry.get("IndexConfigs") or {}).items()
        if not index.get("Secure")
    ] + (registry.get("InsecureRegistryCIDRs") or [])
    if insecure:
        lines += ["Insecure Registries:", *(f" {name}" for name in insecure)]
    if registry.get("Mirrors"):
        lines += ["Registry Mirrors:", *(f" {mirror}" for mirror in registry["Mirrors"])]
    lines.append(f"Live Restore Enabled: {str(info['LiveRestoreEnabled']).lower()}")
    return lines


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Display system-wide information",
    run=run,
    maximum=0,
    flags=[string("format", "Format output using a custom template", "f")],
)
