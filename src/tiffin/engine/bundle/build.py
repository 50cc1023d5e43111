"""Put the parts together: the OCI runtime configuration of one container."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle import capabilities, devices, mounts
from tiffin.engine.bundle.environment import command_line, environment
from tiffin.engine.bundle.labels import apparmor_profile
from tiffin.engine.bundle.mounts import EtcFiles, ResolvedMount, oci_mappings
from tiffin.engine.bundle.namespaces import cgroups_path, namespaces
from tiffin.engine.bundle.resources import resources, rlimits
from tiffin.engine.bundle.seccomp import seccomp
from tiffin.engine.bundle.security import (
    SecurityOptions,
    in_force,
    masked_paths,
    parse_security_options,
    readonly_paths,
)
from tiffin.engine.bundle.sysctls import sysctls
from tiffin.engine.bundle.users import Account
from tiffin.errors import InvalidArgument
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings
from tiffin.spec.mount import Mount

JsonObject = dict[str, Any]

OCI_VERSION = "1.2.0"
ROOTFS_ANNOTATION = "org.tiffin.rootfs"
"""JSON list of the mounts that make the root, performed inside the container's mount namespace."""


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """All that is known when a container is about to start.

    `config` is merged with the image's; `joined` maps OCI namespace types to paths of namespaces
    that are shared with another container; `tag` names the daemon's cgroup parent.
    """

    id: str
    tag: str
    rootfs: tuple[Mount, ...]
    config: Config
    host: HostConfig
    account: Account = field(default_factory=Account)
    hostname: str = ""
    domainname: str = ""
    files: EtcFiles | None = None
    mounts: tuple[ResolvedMount, ...] = ()
    joined: Mapping[str, str] = field(default_factory=dict)
    ids: IdMappings = NO_MAPPINGS
    """Of the container's user namespace; empty for none."""
    security_defaults: Sequence[str] = ()
    """What the daemon says where the container's `--security-opt` does not."""
    shm: str = ""
    """A mount namespace whose /dev/shm the container shares, "" for one of its own."""


def build_bundle(request: BundleRequest) -> JsonObject:
    """Return the content of `config.json`; InvalidArgument, FailedPrecondition (devices)."""
    host = request.host
    security = parse_security_options(in_force(host, request.security_defaults))
    if security.writable_cgroups is not None and request.ids:
        raise InvalidArgument(
            "option WritableCgroups conflicts with user namespaces and rootless mode"
        )
    held = capabilities.effective(
        host.cap_add or (), host.cap_drop or (), privileged=host.privileged
    )
    config: JsonObject = {
        "ociVersion": OCI_VERSION,
        "process": process(request, security, held),
        "root": {"path": "rootfs", "readonly": host.readonly_rootfs},
        "mounts": mounts.oci_mounts(
            host,
            request.mounts,
            request.files,
            mounts.Owners(request.account, request.ids),
            writable_cgroups=security.writable_cgroups,
            shm=request.shm,
        ),
        "annotations": {
            **(host.annotations or {}),
            ROOTFS_ANNOTATION: rootfs_annotation(
                mounts.idmapped(request.rootfs) if request.ids else request.rootfs
            ),
        },
        "linux": _linux(request, security, held),
    }
    if host.uts_mode != "host":
        config["hostname"] = request.hostname
        if request.domainname:
            config["domainname"] = request.domainname
    return config


def rootfs_annotation(rootfs: tuple[Mount, ...]) -> str:
    """Return the annotation's value."""
    return msgspec.json.encode([asdict(mount) for mount in rootfs]).decode()


def process(request: BundleRequest, security: SecurityOptions, held: tuple[str, ...]) -> JsonObject:
    """Return the OCI `process` object of the container's first process."""
    config, host, account = request.config, request.host, request.account
    out: JsonObject = {
        "terminal": config.tty,
        "user": oci_user(account),
        "args": command_line(config),
        "env": environment(
            config.env or (), hostname=request.hostname, terminal=config.tty, home=account.home
        ),
        "cwd": config.working_dir or "/",
        "capabilities": capabilities.sets(held, user_is_root=account.uid == 0),
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }
    profile = apparmor_profile(security.apparmor, privileged=host.privileged)
    if profile:
        out["apparmorProfile"] = profile
    if config.tty and any(host.console_size):
        out["consoleSize"] = {"height": host.console_size[0], "width": host.console_size[1]}
    if host.ulimits:
        out["rlimits"] = rlimits(host.ulimits)
    return out


def oci_user(account: Account) -> JsonObject:
    """Return the OCI `process.user` object."""
    user: JsonObject = {"uid": account.uid, "gid": account.gid}
    if account.groups:
        user["additionalGids"] = list(account.groups)
    return user


def _linux(request: BundleRequest, security: SecurityOptions, held: tuple[str, ...]) -> JsonObject:
    host = request.host
    spaces = namespaces(host, request.joined, is_remapped=bool(request.ids))
    new_network = {"type": "network"} in spaces
    nodes, rules = _devices(host)
    limits = resources(host)
    limits["devices"] = rules
    linux: JsonObject = {
        "namespaces": spaces,
        "cgroupsPath": cgroups_path(request.id, request.tag, host.cgroup_parent),
        "resources": limits,
        "sysctl": _sysctls(request, new_network=new_network),
        "maskedPaths": masked_paths(host),
        "readonlyPaths": readonly_paths(host),
    }
    if nodes:
        linux["devices"] = nodes
    if request.ids:
        linux["uidMappings"] = oci_mappings(request.ids.uids)
        linux["gidMappings"] = oci_mappings(request.ids.gids)
    propagation = mounts.rootfs_propagation(request.mounts)
    if propagation:
        linux["rootfsPropagation"] = propagation
    profile = "unconfined" if host.privileged and not security.seccomp else security.seccomp
    filters = seccomp(profile, held)
    if filters is not None:
        linux["seccomp"] = filters
    return linux


def _sysctls(request: BundleRequest, *, new_network: bool) -> dict[str, str]:
    if not request.ids:
        return dict(sysctls(request.host, new_network=new_network))
    groups = next((item.size for item in request.ids.gids if item.container == 0), 1)
    return dict(sysctls(request.host, new_network=new_network, groups=min(groups, 1 << 31)))


def _devices(host: HostConfig) -> tuple[list[JsonObject], list[JsonObject]]:
    if host.privileged:
        nodes, rules = devices.host_devices(), devices.everything_allowed()
    else:
        nodes, rules = [], devices.default_rules()
    for mapping in host.devices or ():
        more_nodes, more_rules = devices.mapped(mapping)
        targets = {node["path"] for node in more_nodes}
        nodes = [node for node in nodes if node["path"] not in targets] + more_nodes
        if not host.privileged:
            rules += more_rules
    rules += devices.parse_rules(host.device_cgroup_rules or ())
    return nodes, rules
