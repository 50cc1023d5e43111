"""Plans, compared as text: what is done in which order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiffin.errors import InvalidArgument
from tiffin.linux import syscalls
from tiffin.linux.syscalls import SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW
from tiffin.runtime import config
from tiffin.runtime.config import Config
from tiffin.runtime.operation import Operation, line
from tiffin.runtime.plan import Plan, Prepared, clone_flags, plan, plan_exec
from tiffin.runtime.privilege_operations import LoadFilter

PREPARED = Prepared(("/cg/memory/box/tasks",), (("memory", "/cg/memory/box"),))
NEW = ("mount", "pid", "uts", "ipc", "network", "cgroup")


def read(**members: object) -> Config:
    document: dict[str, Any] = {
        "process": {"args": ["true"]},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm"},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in NEW],
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
        **members,
    }
    return config.parse(document, Path("/bundle"))


def names(operations: tuple[Operation, ...]) -> list[str]:
    return [type(item).__name__ for item in operations]


def make(settings: Config, filter_program: bytes = b"") -> Plan:
    return plan("box", settings, PREPARED, filter_program)


def test_order_of_a_common_container() -> None:
    found = make(read())
    assert names(found.enter) == ["NewSession", "RaiseLoopback", "SetHostName", "NewKeyring"]
    assert names(found.build) == [
        "Separate", "MountRoot", "MountInside", "MountInside",
        "AwaitParent", "JoinCgroups", "Unshare", "MountCgroups", "MountInside",
        *["MakeDevice"] * 6, *["MakeSymlink"] * 5,
    ]  # fmt: skip
    assert names(found.pivot) == ["MakeReadonly", "MaskPath", "PivotRoot", "MakeWorkingDirectory"]
    assert names(found.become) == [
        "OwnStdio", "SetUmask", "ChangeDirectory", "LimitCapabilities", "SetIdentity",
        "SetCapabilities", "ChangeDirectory",
    ]  # fmt: skip
    assert found.last == ()


def test_every_step_says_what_it_is_and_is_for() -> None:
    settings = replace(
        read(), root_readonly=True, root_propagation="rslave", sysctl=(("net.a.b", "1"),)
    )
    found = make(settings, b"\0" * 16)
    for part in (found.enter, found.build, found.pivot, found.become, found.last):
        for operation in part:
            assert operation.describe()
            assert operation.call()
            assert "\n" not in line(operation)


def test_clone_flags_leave_out_what_must_wait_or_is_shared() -> None:
    settings = read()
    assert clone_flags(settings) == (
        syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWNET
    )  # fmt: skip


def test_joined_namespaces_come_before_what_is_set_in_new_ones() -> None:
    kinds = [{"type": "mount"}, {"type": "network", "path": "/n"}, {"type": "uts", "path": "/u"}]
    found = make(read(linux={"namespaces": kinds}))
    assert names(found.enter) == ["NewSession", "JoinNamespace", "JoinNamespace", "NewKeyring"]
    assert "lo" not in " ".join(item.call() for item in found.enter)


def test_without_a_cgroup_mount_the_groups_are_joined_at_the_end() -> None:
    found = make(read(mounts=[]))
    assert names(found.build)[-3:] == ["AwaitParent", "JoinCgroups", "Unshare"]


def test_a_user_namespace_joins_its_groups_first() -> None:
    kinds = [{"type": kind} for kind in ("user", *NEW)]
    found = make(read(linux={"namespaces": kinds}))
    assert names(found.enter)[:5] == [
        "AwaitParent", "JoinCgroups", "Unshare", "NewSession", "RaiseLoopback",
    ]  # fmt: skip
    # The way to the bundle is open to the host's root alone.
    assert names(found.build)[:3] == ["Separate", "MountRoot", "BecomeRoot"]


def test_a_bound_dev_is_left_alone() -> None:
    found = make(read(mounts=[{"destination": "/dev/", "source": "/dev", "options": ["rbind"]}]))
    assert "MakeDevice" not in names(found.build)


def test_a_filter_without_no_new_privileges_holds_on_to_one_capability() -> None:
    found = make(read(), b"\0" * 8)
    assert names(found.last) == ["LoadFilter", "DropExtra"]
    assert "CAP_SYS_ADMIN" in " ".join(item.call() for item in found.become)
    strict = make(read(process={"args": ["true"], "noNewPrivileges": True}), b"\0" * 8)
    assert names(strict.last) == ["LoadFilter"]
    assert names(strict.become)[-1] == "NoNewPrivileges"
    assert "CAP_SYS_ADMIN" not in " ".join(item.call() for item in strict.become)


def test_filter_flags() -> None:
    process = read().process
    default = plan_exec(process, (), Config("/", process), b"\0" * 8).last[0]
    assert isinstance(default, LoadFilter)
    assert default.flags == SECCOMP_FILTER_FLAG_SPEC_ALLOW
    logged = plan_exec(
        process, (), Config("/", process, seccomp={"flags": ["SECCOMP_FILTER_FLAG_LOG"]}), b"\0" * 8
    ).last[0]
    assert isinstance(logged, LoadFilter)
    assert logged.flags == SECCOMP_FILTER_FLAG_LOG
    with pytest.raises(InvalidArgument, match="FUN"):
        plan_exec(process, (), Config("/", process, seccomp={"flags": ["FUN"]}), b"\0" * 8)


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ({"destination": "/proc/self", "source": "/x", "options": ["bind"]}, "inside /proc"),
        ({"destination": "/x/../proc/sys", "source": "/x", "options": ["bind"]}, "inside /proc"),
        ({"destination": "/elsewhere", "type": "proc", "source": "proc"}, "proc goes to /proc"),
    ],
)
def test_proc_is_off_limits(mount: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        make(read(mounts=[mount]))


@pytest.mark.parametrize(
    "name",
    ["vm.swappiness", "kernel.pid_max", "net/../vm/swappiness", "net.x.//.y", "fs.file-max", "x"],
)
def test_the_hosts_own_parameters_are_off_limits(name: str) -> None:
    settings = replace(read(), sysctl=((name, "1"),))
    with pytest.raises(InvalidArgument, match="sysctl"):
        make(settings)


def test_parameters_need_a_namespace_of_their_own() -> None:
    wanted = (("net.ipv4.ip_forward", "1"), ("fs.mqueue.msg_max", "9"), ("kernel.shmmax", "9"))
    make(replace(read(), sysctl=wanted))
    for item in wanted:
        settings = replace(read(linux={"namespaces": [{"type": "mount"}]}), sysctl=(item,))
        with pytest.raises(InvalidArgument, match="not in a separate kernel namespace"):
            make(settings)


def test_some_files_of_proc_may_be_provided() -> None:
    make(read(mounts=[{"destination": "/proc/meminfo", "source": "/x", "options": ["bind"]}]))


def test_a_mount_namespace_is_a_must() -> None:
    with pytest.raises(InvalidArgument, match="mount namespace"):
        make(read(linux={"namespaces": [{"type": "pid"}]}))
