"""What the values of `run`'s flags may be: checked (and parsed) while the command line is read.

Each parser raises ValueError with Docker's reason.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from typing import Any

from tiffin.cli.flags import Kind, parse_size
from tiffin.cli.parse_mounts import parse_mount

Body = dict[str, Any]

_SYSCTLS = frozenset(
    (
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    )
)
_DOMAIN = re.compile(r"(?:[a-zA-Z0-9_](?:[a-zA-Z0-9_-]*[a-zA-Z0-9_])?\.?)+|\.")


def parse_stream(text: str) -> str:
    """Return `stdin`, `stdout` or `stderr`."""
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


def parse_environment(text: str) -> str:
    """Return `K=V`; a bare `K` takes the caller's value, "" if it has none."""
    name, equals, _ = text.partition("=")
    if not name:
        raise ValueError(f"invalid environment variable: {text}")
    if equals:
        return text
    return f"{name}={os.environ[name]}" if name in os.environ else ""


def parse_label(text: str) -> str:
    """Return a label that has a name."""
    if not text.partition("=")[0]:
        raise ValueError(f"invalid label '{text}': empty name")
    return text


def parse_extra_host(text: str) -> str:
    """Return `name:address`."""
    name, separator, address = text.partition("=") if "=" in text else text.partition(":")
    if not separator or not name:
        raise ValueError(f'bad format for add-host: "{text}"')
    address = address.removeprefix("[").removesuffix("]")
    if address != "host-gateway":
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ValueError(f'invalid IP address in add-host: "{address}"') from None
    return f"{name}:{address}"


def parse_address(text: str) -> str:
    """Return an IP address."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"IP address is not correctly formatted: {text}") from None


def parse_domain(text: str) -> str:
    """Return a search domain."""
    if not _DOMAIN.fullmatch(text.strip()):
        raise ValueError(f"{text} is not a valid domain")
    return text.strip()


def parse_sysctl(text: str) -> str:
    """Return `name=value` of a setting that belongs to a namespace."""
    name, equals, _ = text.partition("=")
    if not equals or not (name in _SYSCTLS or name.startswith(("net.", "fs.mqueue."))):
        raise ValueError(f"sysctl '{text}' is not allowed")
    return text


def parse_ulimit(text: str) -> Body:
    """Parse `name=soft[:hard]`."""
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    numbers = (soft, hard) if colon else (soft,)
    if not equals or not all(re.fullmatch(r"-?\d+", number) for number in numbers):
        raise ValueError(f"invalid ulimit argument: {text}")
    low, high = int(soft), int(hard or soft)
    if high != -1 and (low > high or low == -1):
        raise ValueError(
            f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}"
        )
    return {"Name": name, "Soft": low, "Hard": high}


def parse_weight(text: str) -> Body:
    """Parse `path:weight`."""
    path, colon, weight = text.partition(":")
    if not colon:
        raise ValueError(f"bad format: {text}")
    if not path.startswith("/dev/"):
        raise ValueError(f"bad format for device path: {text}")
    if not weight.isdigit() or (int(weight) and not 10 <= int(weight) <= 1000):
        raise ValueError(f"invalid weight for device: {text}")
    return {"Path": path, "Weight": int(weight)}


def _rate(parse: Callable[[str], int], form: str) -> Callable[[str], Body]:
    def parse_rate(text: str) -> Body:
        path, colon, rate = text.partition(":")
        if not colon:
            raise ValueError(f"bad format: {text}")
        if not path.startswith("/dev/"):
            raise ValueError(f"bad format for device path: {text}")
        try:
            number = parse(rate)
        except ValueError:
            number = -1
        if number < 0:
            raise ValueError(f"invalid rate for device: {text}. The correct format is {form}")
        return {"Path": path, "Rate": number}

    return parse_rate


def parse_gpus(text: str) -> Body:
    """Parse `all`, a count, or `key=value,…`."""
    request: Body = {"Driver": "", "Count": 0, "DeviceIDs": None, "Capabilities": [["gpu"]],
                     "Options": {}}  # fmt: skip
    for part in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', text):
        key, equals, value = part.strip('"').partition("=")
        if not equals:
            key, value = "count", key
        if key == "count":
            if value != "all" and not re.fullmatch(r"-?\d+", value):
                raise ValueError(
                    f'invalid count ({value}): value must be either "all" or an integer: '
                    "invalid syntax"
                )
            request["Count"] = -1 if value == "all" else int(value)
        elif key == "device":
            request["DeviceIDs"] = value.strip('"').split(",")
        elif key == "driver":
            request["Driver"] = value
        elif key == "capabilities":
            request["Capabilities"] = [["gpu", *value.strip('"').split(",")]]
        else:
            raise ValueError(f"unexpected key '{key}' in '{part}'")
    return request


def parse_endpoint(text: str) -> tuple[str, Body]:
    """Parse a network's name, or `name=…,alias=…,ip=…`; return the name and its EndpointSettings."""
    if "=" not in text:
        return text, {}
    name, endpoint = "", Body()
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = key.strip().lower()
        if not equals:
            raise ValueError(f"invalid field {part}")
        if key == "name":
            name = value
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key in ("ip", "ip6"):
            member = "IPv4Address" if key == "ip" else "IPv6Address"
            endpoint.setdefault("IPAMConfig", {})[member] = value
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        elif key == "link-local-ip":
            endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "driver-opt":
            option, _, setting = value.partition("=")
            endpoint.setdefault("DriverOpts", {})[option.strip().lower()] = setting
        elif key == "gw-priority":
            endpoint["GwPriority"] = int(value)
        else:
            raise ValueError(f"invalid field key {key}")
    if not name:
        raise ValueError("network name/id is not specified")
    return name, endpoint


STREAM = Kind("list", parse_stream, repeats=True)
ENVIRONMENT = Kind("list", parse_environment, repeats=True)
LABEL = Kind("list", parse_label, repeats=True)
EXTRA_HOST = Kind("list", parse_extra_host, repeats=True)
ADDRESS = Kind("list", parse_address, repeats=True)
DOMAIN = Kind("list", parse_domain, repeats=True)
SYSCTL = Kind("map", parse_sysctl, repeats=True)
MOUNT = Kind("mount", parse_mount, repeats=True)
NETWORK = Kind("network", parse_endpoint, repeats=True)
ULIMIT = Kind("ulimit", parse_ulimit, repeats=True)
GPU = Kind("gpu-request", parse_gpus, repeats=True)
WEIGHT = Kind("list", parse_weight, repeats=True)
BYTE_RATE = Kind("list", _rate(
    parse_size, "<device-path>:<number>[<unit>]. Number must be a positive integer. "
    "Unit is optional and can be kb, mb, or gb"), repeats=True)  # fmt: skip
COUNT_RATE = Kind("list", _rate(int, "<device-path>:<number>. Number must be a positive integer"),
                  repeats=True)  # fmt: skip
