"""From the flags of `run` and `create` to the body of `POST /containers/create`."""

import json
import re
from pathlib import Path
from typing import Any

from tiffin.cli.command import CommandFailed
from tiffin.cli.flags import UsageError, Values
from tiffin.cli.parse_env import environment, key_values, labels
from tiffin.cli.parse_mounts import parse_tmpfs, parse_volumes
from tiffin.cli.parse_ports import parse_expose, parse_publish

Body = dict[str, Any]

MODES = {"pid": "PID", "uts": "UTS", "userns": "USER", "cgroupns": "CGROUP"}
MODE_WORDS = {"pid": "|host|container:.+", "uts": "|host", "userns": "|host|(auto|private)(:.+)?",
              "cgroupns": "|host|private"}  # fmt: skip
"""What each `--pid`, `--uts`, … may be."""

WINDOWS_ONLY = ("cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops")

_OPEN_PATHS = "systempaths=unconfined"
"""The `--security-opt` that hides nothing of /proc and /sys; the API has lists of paths instead."""


def create_body(values: Values, image: str, command: list[str]) -> Body:
    """Return the request; UsageError for what only a client can refuse."""
    _check_conflicts(values)
    published, bindings = parse_publish(values["publish"])
    binds, volumes = parse_volumes(values["volume"])
    body = _config(values, image, command)
    exposed = {**parse_expose(values["expose"]), **published}
    if exposed:
        body["ExposedPorts"] = exposed
    if volumes:
        body["Volumes"] = volumes
    body["HostConfig"] = {**_host(values), **_resources(values)}
    body["HostConfig"]["Binds"] = binds or None
    body["HostConfig"]["PortBindings"] = bindings
    mode, endpoints = _networks(values)
    body["HostConfig"]["NetworkMode"] = mode
    body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return body


def _check_conflicts(values: Values) -> None:
    for name in WINDOWS_ONLY:
        if values.given(name):
            raise CommandFailed(
                f'"--{name}" is only supported on a Docker daemon running on windows, but the Docker'
                " daemon is running on linux"
            )
    for flag, what in MODES.items():
        if not re.fullmatch(MODE_WORDS[flag], values[flag]):
            raise UsageError(f"--{flag}: invalid {what} mode")
    if values["rm"] and values["restart"] not in ("", "no"):
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    health = ("health-cmd", "health-interval", "health-timeout", "health-retries")
    if values["no-healthcheck"] and any(values.given(name) for name in health):
        raise UsageError("--no-healthcheck conflicts with --health-* options")
    swappiness = values["memory-swappiness"]
    if swappiness != -1 and not 0 <= swappiness <= 100:
        raise UsageError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")


def _config(values: Values, image: str, command: list[str]) -> Body:
    attach = values["attach"]
    detached = bool(values["detach"]) if "detach" in values.names else False
    attached = not detached and not attach
    stdin_attached = "stdin" in attach or (values["interactive"] and not detached)
    config: Body = {
        "Hostname": values["hostname"],
        "Domainname": values["domainname"],
        "User": values["user"],
        "AttachStdin": stdin_attached,
        "AttachStdout": "stdout" in attach or attached,
        "AttachStderr": "stderr" in attach or attached,
        "Tty": values["tty"],
        "OpenStdin": values["interactive"],
        "StdinOnce": values["interactive"] and stdin_attached,
        "Env": environment(values["env"], values["env-file"]),
        "Cmd": command or None,
        "Image": image,
        "WorkingDir": values["workdir"],
        "Labels": labels(values["label"], values["label-file"]),
    }
    if values.given("entrypoint"):
        config["Entrypoint"] = [values["entrypoint"]] if values["entrypoint"] else [""]
    if values["stop-signal"]:
        config["StopSignal"] = values["stop-signal"]
    if values["stop-timeout"] is not None:
        config["StopTimeout"] = values["stop-timeout"]
    health = _health(values)
    if health:
        config["Healthcheck"] = health
    return config


def _health(values: Values) -> Body:
    if values["no-healthcheck"]:
        return {"Test": ["NONE"]}
    health: Body = {}
    if values["health-cmd"]:
        health["Test"] = ["CMD-SHELL", values["health-cmd"]]
    durations = (("health-interval", "Interval"), ("health-timeout", "Timeout"),
                 ("health-start-period", "StartPeriod"),
                 ("health-start-interval", "StartInterval"))  # fmt: skip
    for flag, member in durations:
        if values[flag] < 0:
            raise UsageError(f"--{flag} cannot be negative")
        if values[flag]:
            health[member] = values[flag]
    retries = values["health-retries"]
    if retries is not None:
        if retries < 0:
            raise UsageError("--health-retries cannot be negative")
        health["Retries"] = retries
    return health


def _host(values: Values) -> Body:
    added = _capabilities(values["cap-add"])
    host: Body = {
        "ContainerIDFile": values["cidfile"],
        "LogConfig": {"Type": values["log-driver"], "Config": key_values(values["log-opt"])},
        "RestartPolicy": _restart(values["restart"]),
        "AutoRemove": values["rm"],
        "VolumeDriver": values["volume-driver"],
        "VolumesFrom": values["volumes-from"] or None,
        "CapAdd": sorted(added) or None,
        "CapDrop": sorted(_capabilities(values["cap-drop"]) - added) or None,
        "CgroupnsMode": values["cgroupns"],
        "Dns": values["dns"],
        "DnsOptions": values["dns-option"] + values["dns-opt"],
        "DnsSearch": values["dns-search"],
        "ExtraHosts": values["add-host"] or None,
        "GroupAdd": values["group-add"] or None,
        "IpcMode": values["ipc"],
        "Links": values["link"] or None,
        "OomScoreAdj": values["oom-score-adj"] or 0,
        "PidMode": values["pid"],
        "Privileged": values["privileged"],
        "PublishAllPorts": values["publish-all"],
        "ReadonlyRootfs": values["read-only"],
        "SecurityOpt": [_security(text) for text in values["security-opt"] if text != _OPEN_PATHS]
        or None,
        "UTSMode": values["uts"],
        "UsernsMode": values["userns"],
        "ShmSize": values["shm-size"],
        "Sysctls": key_values(values["sysctl"]),
        "Isolation": values["isolation"],
        "Mounts": values["mount"],
        "Tmpfs": parse_tmpfs(values["tmpfs"]),
        "StorageOpt": _storage(values["storage-opt"]),
        "Annotations": key_values(values["annotation"]),
    }
    if _OPEN_PATHS in values["security-opt"]:
        host["MaskedPaths"] = host["ReadonlyPaths"] = []
    if values["runtime"]:
        host["Runtime"] = values["runtime"]
    if values.given("init"):
        host["Init"] = values["init"]
    return {name: value for name, value in host.items() if value not in ({}, "") or name == "Tmpfs"}


def _capabilities(names: list[str]) -> set[str]:
    """Return the names in full; `ALL` needs no others."""
    full = {name.strip().upper() for name in names}
    if "ALL" in full:
        return {"ALL"}
    return {name if name.startswith("CAP_") else f"CAP_{name}" for name in full}


def _restart(text: str) -> Body:
    name, _, count = text.partition(":")
    if count and not count.isdigit():
        raise UsageError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _storage(texts: list[str]) -> dict[str, str]:
    if not all("=" in text for text in texts):
        raise UsageError("invalid storage option")
    return key_values(texts)


def _security(text: str) -> str:
    key, separator, value = text.partition("=") if "=" in text else text.partition(":")
    if not separator and text != "no-new-privileges":
        raise UsageError(f'Invalid --security-opt: "{text}"')
    if key == "seccomp" and value not in ("unconfined", "builtin"):
        try:
            profile = json.loads(Path(value).read_text())
        except OSError as error:
            raise UsageError(
                f"opening seccomp profile ({value}) failed: open {value}: {(error.strerror or '').lower()}"
            ) from error
        except ValueError as error:
            raise UsageError(
                f"compacting json for seccomp profile ({value}) failed: {error}"
            ) from error
        return f"seccomp={json.dumps(profile, separators=(',', ':'))}"
    return text


def _resources(values: Values) -> Body:
    pids = values["pids-limit"]
    return {
        "CpuShares": values["cpu-shares"] or 0,
        "Memory": values["memory"],
        "NanoCpus": values["cpus"],
        "CgroupParent": values["cgroup-parent"],
        "BlkioWeight": values["blkio-weight"],
        "BlkioWeightDevice": values["blkio-weight-device"],
        "BlkioDeviceReadBps": values["device-read-bps"],
        "BlkioDeviceWriteBps": values["device-write-bps"],
        "BlkioDeviceReadIOps": values["device-read-iops"],
        "BlkioDeviceWriteIOps": values["device-write-iops"],
        "CpuPeriod": values["cpu-period"] or 0,
        "CpuQuota": values["cpu-quota"] or 0,
        "CpuRealtimePeriod": values["cpu-rt-period"] or 0,
        "CpuRealtimeRuntime": values["cpu-rt-runtime"] or 0,
        "CpusetCpus": values["cpuset-cpus"],
        "CpusetMems": values["cpuset-mems"],
        "Devices": [_device(text) for text in values["device"] if "=" not in text],
        "DeviceCgroupRules": values["device-cgroup-rule"] or None,
        "DeviceRequests": values["gpus"]
        + [{"Driver": "cdi", "DeviceIDs": [text]} for text in values["device"] if "=" in text]
        or None,
        "MemoryReservation": values["memory-reservation"],
        "MemorySwap": values["memory-swap"],
        "MemorySwappiness": None
        if values["memory-swappiness"] == -1
        else values["memory-swappiness"],
        "OomKillDisable": values["oom-kill-disable"],
        "PidsLimit": pids,
        "Ulimits": values["ulimit"],
    }


def _device(text: str) -> Body:
    parts = text.split(":")
    host, inside, permissions = parts[0], "", "rwm"
    if len(parts) > 3 or not host:
        raise UsageError(f"bad format for path: {text}")
    for part in parts[1:]:
        if re.fullmatch("[rwm]+", part):
            permissions = part
        else:
            inside = part
    return {"PathOnHost": host, "PathInContainer": inside or host, "CgroupPermissions": permissions}


def _networks(values: Values) -> tuple[str, Body]:
    """Return the network mode and one endpoint per `--network`."""
    wanted: list[tuple[str, Body]] = values["network"] + values["net"] or [("default", {})]
    endpoints: Body = {}
    first = wanted[0][0]
    for name, endpoint in wanted:
        if name in endpoints:
            raise UsageError(f'network "{name}" is specified multiple times')
        endpoints[name] = endpoint
    main = endpoints[first]
    aliases = values["network-alias"] + values["net-alias"]
    if aliases:
        main["Aliases"] = [*main.get("Aliases", []), *aliases]
    if values["link"] and first not in ("default", "bridge"):
        main["Links"] = values["link"]
    addresses = {"IPv4Address": values["ip"], "IPv6Address": values["ip6"],
                 "LinkLocalIPs": values["link-local-ip"]}  # fmt: skip
    given = {name: value for name, value in addresses.items() if value}
    if given:
        main["IPAMConfig"] = {**main.get("IPAMConfig", {}), **given}
    if aliases and first in ("default", "bridge", "host", "none"):
        raise UsageError("network-scoped aliases are only supported for user-defined networks")
    if values["mac-address"]:
        if not re.fullmatch("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", values["mac-address"]):
            raise UsageError(f"{values['mac-address']} is not a valid mac address")
        main["MacAddress"] = values["mac-address"]
    is_plain = len(endpoints) == 1 and not main
    return first, {} if is_plain else endpoints
