"""User namespaces and idmapped mounts, on the real kernel."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.root.runtime.runtime_rig import Rig, output, run_in

from tiffin.linux import idmapped, mounts
from tiffin.linux.capabilities import NAMES
from tiffin.linux.namespaces import KINDS
from tiffin.runtime.runtime import CreateOptions

pytestmark = pytest.mark.root

MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def remapped(rig: Rig, *args: str, join: int = 0, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a configuration in a user namespace, new or that of the process `join`."""
    document = rig.config(*args, **changes)
    rootfs = json.loads(document["annotations"]["org.tiffin.rootfs"])
    rootfs[0]["options"].append("idmap")
    document["annotations"]["org.tiffin.rootfs"] = json.dumps(rootfs)
    linux = document["linux"]
    if join:
        linux["namespaces"].append({"type": "user", "path": f"/proc/{join}/ns/user"})
    else:
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = MAP
    return document


def upper(rig: Rig) -> Path:
    return max(rig.place.glob("upper*"), key=lambda path: path.stat().st_ctime_ns)


def test_root_is_nobody_on_the_host_and_files_are_stored_with_the_containers_ids(rig: Rig) -> None:
    script = (
        "id -u; cat /proc/self/uid_map; touch /tmp/mine; chmod 4755 /tmp/mine; rm /bin/dd;"
        "touch /tmp/his; test -w /etc/passwd && echo writable; stat -c %u:%g /etc/passwd;"
        "cat /proc/self/setgroups; cat /proc/self/status | grep Groups"
    )
    text, ended = rig.run(remapped(rig, "sh", "-c", script))
    assert ended.status == 0, text
    assert text.split() == [
        "0", "0", "100000", "65536", "writable", "0:0", "allow", "Groups:"
    ]  # fmt: skip
    mine = (upper(rig) / "tmp/mine").stat()
    assert (mine.st_uid, mine.st_mode & 0o7777) == (0, 0o4755)
    whiteout = (upper(rig) / "bin/dd").stat()
    assert (whiteout.st_uid, whiteout.st_rdev) == (0, 0)


def test_the_host_sees_the_process_as_another_user(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(remapped(rig, "sleep", "60"), stdio) as task:
        assert os.stat(f"/proc/{task.init.pid}").st_uid == 100000
        text, ended = run_in(task, "sh", "-c", "id -u; cat /proc/self/uid_map; touch /tmp/exec")
        assert (text.split(), ended.status) == (["0", "0", "100000", "65536"], 0)
        text, _ = run_in(task, "id", user={"uid": 1000, "gid": 1000})
        assert "uid=1000" in text
    assert (upper(rig) / "tmp/exec").stat().st_uid == 0


def test_older_kernels_have_the_layers_attached_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(22, "no detached layers here")

    monkeypatch.setattr(idmapped, "_assemble", refuse)
    monkeypatch.setattr(mounts, "kernel_release", lambda: (6, 1))
    text, ended = rig.run(remapped(rig, "sh", "-c", "touch /tmp/mine; rm /bin/dd; id -u"))
    assert (text, ended.status) == ("0\n", 0)
    assert (upper(rig) / "tmp/mine").stat().st_uid == 0


def test_binds_show_the_hosts_owners_unless_idmapped(rig: Rig, tmp_path: Path) -> None:
    closed = tmp_path / "closed"  # the container's root may not pass there
    (closed / "data").mkdir(parents=True, mode=0o755)
    (closed / "data/file").write_text("x")
    closed.chmod(0o700)
    script = "stat -c %u /plain/file /mapped/file; touch /plain/new; touch /mapped/new"
    document = remapped(rig, "sh", "-c", script)
    for name, words in (("/plain", ["rbind"]), ("/mapped", ["rbind", "idmap"])):
        document["mounts"].append(
            {"destination": name, "type": "bind", "source": f"{closed}/data", "options": words}
        )
    text, ended = rig.run(document)
    assert text.splitlines()[:2] == ["65534", "0"]
    assert "/plain/new" in text
    assert ended.status == 0
    assert (closed / "data/new").stat().st_uid == 0


def test_a_bind_is_idmapped_without_a_user_namespace(rig: Rig, tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    maps = {
        f"{kind}Mappings": [{"containerID": 1234, "hostID": 0, "size": 1}]
        for kind in ("uid", "gid")
    }
    document = rig.config("sh", "-c", "stat -c %u /data; touch /data/new")
    document["mounts"].append(
        {"destination": "/data", "type": "bind", "source": str(tmp_path), "options": [], **maps}
    )
    assert rig.run(document)[0] == "0\n"
    assert (tmp_path / "new").stat().st_uid == 1234


def test_devices_are_the_hosts_and_more_cannot_be_made(rig: Rig) -> None:
    script = (
        "echo x >/dev/null; head -c 3 /dev/zero | wc -c; mknod /tmp/sda b 8 0; ls -n /tmp /dev/full"
    )
    document = remapped(rig, "sh", "-c", script)
    document["linux"]["devices"] = [
        {"path": "/dev/nothing", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}
    ]
    document["process"]["args"][2] += "; echo x >/dev/nothing && echo gone"
    text, _ = rig.run(document)
    assert text.startswith("3\n")
    assert "Operation not permitted" in text
    assert text.endswith("gone\n")


def test_network_parameters_and_control_groups_are_the_containers_own(rig: Rig) -> None:
    document = remapped(
        rig, "sh", "-c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; hostname;"
        " ls /sys/class/net; mount | grep -c cgroup; hostname other && hostname"
    )  # fmt: skip
    document["linux"]["sysctl"] = {
        "net.ipv4.ip_unprivileged_port_start": "7",
        "kernel.msgmax": "1024",
    }
    for name in ("bounding", "effective", "permitted"):
        capabilities = document["process"]["capabilities"]
        capabilities[name] = [*capabilities[name], "CAP_SYS_ADMIN"]
    lines = rig.run(document)[0].splitlines()
    assert lines[:3] == ["7", "box", "lo"]
    assert int(lines[3]) > 0
    assert lines[4:] == ["other"]


def test_even_all_capabilities_reach_nothing_of_the_host(rig: Rig) -> None:
    document = remapped(
        rig, "sh", "-c",
        "mount -t tmpfs x /tmp && echo mounted;"
        "echo core >/proc/sys/kernel/core_pattern; echo b >/proc/sysrq-trigger;"
        "echo 1 >/proc/sys/vm/drop_caches; cat /proc/1/mem; mount -t ext4 /dev/vda /tmp;"
        "cat /proc/kcore | head -c 1 | wc -c"
    )  # fmt: skip
    document["linux"]["maskedPaths"] = document["linux"]["readonlyPaths"] = []
    every = ("bounding", "effective", "permitted")
    document["process"]["capabilities"] = {name: list(NAMES) for name in every}
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    text, _ = rig.run(document)
    assert text.startswith("mounted\n")  # within its own namespaces it is root
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before
    assert text.count("ermission denied") >= 3
    assert text.endswith("\n0\n")


def test_another_container_joins_user_and_network_namespace(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(remapped(rig, "sleep", "60"), stdio) as first:
        pid = first.init.pid
        document = remapped(
            rig, "sh", "-c", "for n in user net; do readlink /proc/self/ns/$n; done; touch /tmp/x; ps",
            join=pid,
        )  # fmt: skip
        spaces = [item for item in document["linux"]["namespaces"]
                  if item["type"] not in ("network", "pid")]  # fmt: skip
        spaces += [{"type": kind, "path": f"/proc/{pid}/ns/{KINDS[kind].file}"}
                   for kind in ("network", "pid")]  # fmt: skip
        document["linux"]["namespaces"] = spaces
        with output() as (pipe, read):
            second = rig.runtime.create("two", rig.bundle(document), pipe, CreateOptions())
            try:
                second.start()
                os.close(pipe.stdout)
                text = read()
            finally:
                second.delete()
        for name in ("user", "net"):
            assert os.readlink(f"/proc/{pid}/ns/{name}") in text
        assert "sleep 60" in text
        assert (upper(rig) / "tmp/x").stat().st_uid == 0


def test_shared_memory_of_another_container(rig: Rig) -> None:
    donor = rig.config("sh", "-c", "echo hello >/dev/shm/word; sleep 60")
    with output() as (stdio, _), rig.task(donor, stdio) as first:
        place = f"/proc/{first.init.pid}"
        while not os.path.exists(f"{place}/root/dev/shm/word"):
            os.sched_yield()
        document = rig.config("cat", "/dev/shm/word")
        document["linux"]["namespaces"] = [
            item for item in document["linux"]["namespaces"] if item["type"] != "ipc"
        ] + [{"type": "ipc", "path": f"{place}/ns/ipc"}]
        document["mounts"] = [
            item for item in document["mounts"] if item["destination"] != "/dev/shm"
        ] + [{
            "destination": "/dev/shm", "type": "bind", "source": "/dev/shm",
            "options": ["bind", f"x-mount-namespace={place}/ns/mnt"],
        }]  # fmt: skip
        with output() as (pipe, read):
            second = rig.runtime.create("two", rig.bundle(document), pipe, CreateOptions())
            try:
                second.start()
                os.close(pipe.stdout)
                assert read() == "hello\n"
            finally:
                second.delete()
