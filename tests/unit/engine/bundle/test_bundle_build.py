import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.resources import (
    DeviceMapping,
    ThrottleDevice,
    Ulimit,
    WeightDevice,
)
from tiffin.engine.bundle.build import ROOTFS_ANNOTATION, BundleRequest, build_bundle
from tiffin.engine.bundle.mount_point import MountKind, MountPoint
from tiffin.engine.bundle.mounts import EtcFiles, ResolvedMount
from tiffin.engine.bundle.users import Account
from tiffin.errors import FailedPrecondition
from tiffin.spec.mount import Mount

SCHEMAS = Path(__file__).parents[3] / "reference" / "oci-runtime"
ID = "0123456789ab" + "0" * 52
ROOTFS = (Mount("overlay", "overlay", ("lowerdir=/l", "upperdir=/u", "workdir=/w")),)
FILES = EtcFiles(Path("/c/hosts"), Path("/c/hostname"), Path("/c/resolv.conf"))


def retrieve(uri: str) -> Resource[Any]:
    path = SCHEMAS / uri.rpartition("/")[2]
    # Other platforms' parts of the schema are not needed here.
    content = json.loads(path.read_text()) if path.exists() else {}
    return DRAFT4.create_resource(content)


def check_schema(value: object) -> None:
    schema = json.loads((SCHEMAS / "config-schema.json").read_text())
    for other in ("freebsd", "solaris", "windows", "zos"):
        schema["properties"].pop(other, None)
    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    jsonschema.Draft4Validator(schema, registry=registry).validate(value)


def build(
    host: HostConfig | None = None,
    config: Config | None = None,
    **members: Any,  # noqa: ANN401  # those of BundleRequest
) -> dict[str, Any]:
    request = BundleRequest(
        id=ID,
        tag="tag",
        rootfs=ROOTFS,
        config=config or Config(cmd=["true"]),
        host=host or HostConfig(),
        hostname="h",
        files=FILES,
        **members,
    )
    bundle = build_bundle(request)
    check_schema(bundle)
    return bundle


def test_a_plain_container() -> None:
    bundle = build()
    assert bundle["process"]["args"] == ["true"]
    assert bundle["process"]["env"] == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME=h",
        "HOME=/",
    ]
    assert bundle["process"]["cwd"] == "/"
    assert bundle["hostname"] == "h"
    assert bundle["root"] == {"path": "rootfs", "readonly": False}
    assert [item["destination"] for item in bundle["mounts"]] == [
        "/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm",
        "/etc/resolv.conf", "/etc/hostname", "/etc/hosts",
    ]  # fmt: skip
    linux = bundle["linux"]
    assert [item["type"] for item in linux["namespaces"]] == [
        "mount", "network", "pid", "ipc", "uts", "cgroup",
    ]  # fmt: skip
    assert linux["cgroupsPath"] == f"/tag/{ID}"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "/proc/kcore" in linux["maskedPaths"]
    assert "/proc/sys" in linux["readonlyPaths"]
    assert linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"
    rootfs = json.loads(bundle["annotations"][ROOTFS_ANNOTATION])
    assert rootfs == [
        {
            "fstype": "overlay",
            "source": "overlay",
            "options": ["lowerdir=/l", "upperdir=/u", "workdir=/w"],
            "target": "",
        }
    ]


def test_everything_at_once(tmp_path: Path) -> None:
    host = HostConfig(
        memory=64 << 20, memory_swap=-1, memory_reservation=32 << 20, memory_swappiness=10,
        nano_cpus=1_500_000_000, cpu_shares=512, cpuset_cpus="0", cpuset_mems="0", pids_limit=50,
        blkio_weight=100, blkio_weight_device=[WeightDevice(path="/dev/null", weight=20)],
        blkio_device_read_bps=[ThrottleDevice(path="/dev/null", rate=1000)],
        blkio_device_write_iops=[ThrottleDevice(path="/dev/null", rate=10)],
        oom_kill_disable=True, oom_score_adj=5, cgroup_parent="/parent",
        devices=[DeviceMapping(path_on_host="/dev/null", path_in_container="/dev/n")],
        device_cgroup_rules=["c 10:* rm"],
        ulimits=[Ulimit(name="nofile", soft=10, hard=20), Ulimit(name="core", soft=-1, hard=-1)],
        cap_add=["NET_ADMIN"], cap_drop=["MKNOD"], security_opt=["no-new-privileges"],
        sysctls={"net.core.somaxconn": "10"}, readonly_rootfs=True, annotations={"a": "b"},
        shm_size=1 << 20, console_size=[24, 80],
    )  # fmt: skip
    config = Config(
        entrypoint=["/entry"], cmd=["a"], env=["TERM=vt100", "PATH"], tty=True, working_dir="/w",
        user="u",
    )  # fmt: skip
    mounts = (
        ResolvedMount(MountPoint(MountKind.BIND, "/a/b/c", source="/s", propagation="rshared")),
        ResolvedMount(MountPoint(MountKind.BIND, "/a", source="/s", read_only=True)),
        ResolvedMount(
            MountPoint(MountKind.VOLUME, "/v", volume="v", read_only=True),
            (Mount("bind", "/volumes/v", ("rbind", "rw")),),
        ),
        ResolvedMount(MountPoint(MountKind.TMPFS, "/run", tmpfs_options=("size=1m",))),
    )
    bundle = build(
        host, config, account=Account(5, 6, (7, 8), "/home/u"), domainname="d", mounts=mounts,
        joined={"network": "/proc/9/ns/net"},
    )  # fmt: skip
    process, linux = bundle["process"], bundle["linux"]
    assert process["args"] == ["/entry", "a"]
    assert process["env"] == ["HOSTNAME=h", "TERM=vt100", "HOME=/home/u"]
    assert process["user"] == {"uid": 5, "gid": 6, "additionalGids": [7, 8]}
    assert process["consoleSize"] == {"height": 24, "width": 80}
    assert process["noNewPrivileges"]
    assert process["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "hard": 20, "soft": 10},
        {"type": "RLIMIT_CORE", "hard": 2**64 - 1, "soft": 2**64 - 1},
    ]
    assert "CAP_NET_ADMIN" in process["capabilities"]["bounding"]
    assert "CAP_MKNOD" not in process["capabilities"]["bounding"]
    assert process["capabilities"]["effective"] == []
    assert bundle["domainname"] == "d"
    assert {"type": "network", "path": "/proc/9/ns/net"} in linux["namespaces"]
    assert "net.ipv4.ip_unprivileged_port_start" not in linux["sysctl"]
    assert linux["cgroupsPath"] == f"/parent/{ID}"
    assert linux["rootfsPropagation"] == "shared"
    assert linux["devices"] == [
        {"path": "/dev/n", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0,
         "gid": 0}
    ]  # fmt: skip
    limits = linux["resources"]
    assert limits["memory"] == {
        "limit": 64 << 20, "reservation": 32 << 20, "swap": -1, "swappiness": 10,
        "disableOOMKiller": True,
    }  # fmt: skip
    assert limits["cpu"] == {
        "shares": 512, "period": 100_000, "quota": 150_000, "cpus": "0", "mems": "0",
    }  # fmt: skip
    assert limits["pids"] == {"limit": 50}
    assert limits["blockIO"]["weightDevice"] == [{"major": 1, "minor": 3, "weight": 20}]
    assert limits["devices"][-1] == {
        "allow": True, "type": "c", "major": 10, "access": "rm",
    }  # fmt: skip
    users = bundle["mounts"][7:]
    assert [item["destination"] for item in users] == [
        "/a", "/v", "/run", "/etc/resolv.conf", "/etc/hostname", "/etc/hosts", "/a/b/c",
    ]  # fmt: skip
    assert users[0]["options"] == ["rbind", "rprivate", "ro", "rro"]
    assert users[1]["options"] == ["rbind", "ro"]
    assert users[3]["options"] == ["rbind", "rprivate", "ro"]
    assert bundle["mounts"][6]["options"][-1] == f"size={1 << 20}"


def test_privileged() -> None:
    bundle = build(HostConfig(privileged=True))
    linux = bundle["linux"]
    assert len(bundle["process"]["capabilities"]["effective"]) == 41
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert "seccomp" not in linux
    assert linux["maskedPaths"] == linux["readonlyPaths"] == []
    assert {item["path"] for item in linux["devices"]} >= {"/dev/null", "/dev/zero"}
    assert "ro" not in next(m for m in bundle["mounts"] if m["destination"] == "/sys")["options"]


def test_host_namespaces() -> None:
    host = HostConfig(
        network_mode="host", pid_mode="host", ipc_mode="host", uts_mode="host",
        cgroupns_mode="host",
    )  # fmt: skip
    bundle = build(host)
    assert bundle["linux"]["namespaces"] == [{"type": "mount"}]
    assert "hostname" not in bundle
    assert bundle["linux"]["sysctl"] == {}
    shm = next(m for m in bundle["mounts"] if m["destination"] == "/dev/shm")
    assert (shm["type"], shm["source"]) == ("bind", "/dev/shm")


def test_mounts_of_users_replace_ours() -> None:
    points = (
        ResolvedMount(MountPoint(MountKind.TMPFS, "/dev/shm", tmpfs_options=("size=1k",))),
        ResolvedMount(MountPoint(MountKind.BIND, "/etc/hosts", source="/mine")),
    )
    mounts = build(mounts=points)["mounts"]
    assert [m["source"] for m in mounts if m["destination"] == "/dev/shm"] == ["tmpfs"]
    assert [m["source"] for m in mounts if m["destination"] == "/etc/hosts"] == ["/mine"]


def test_no_shm_without_ipc() -> None:
    mounts = build(HostConfig(ipc_mode="none"))["mounts"]
    assert "/dev/shm" not in [m["destination"] for m in mounts]


@pytest.mark.parametrize("path", ["/dev/does-not-exist", "/etc/passwd"])
def test_devices_that_are_none(path: str) -> None:
    with pytest.raises(
        FailedPrecondition,
        match=f'error gathering device information while adding custom device "{path}": ',
    ):
        build(HostConfig(devices=[DeviceMapping(path_on_host=path)]))


def test_explicit_paths_win() -> None:
    linux = build(HostConfig(masked_paths=[], readonly_paths=["/proc/x"]))["linux"]
    assert linux["maskedPaths"] == []
    assert linux["readonlyPaths"] == ["/proc/x"]


def test_seccomp_unconfined() -> None:
    assert "seccomp" not in build(HostConfig(security_opt=["seccomp=unconfined"]))["linux"]
