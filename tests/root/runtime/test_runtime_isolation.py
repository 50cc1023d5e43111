"""What a container sees, may and may not, on the real kernel."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.root.runtime.runtime_rig import DEFAULT_MASK, Rig, output

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux.namespaces import KINDS, identity

pytestmark = pytest.mark.root


def fields(status: str) -> dict[str, str]:
    return {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in status.splitlines())
    }


@pytest.mark.parametrize("kind", ["mount", "pid", "uts", "ipc", "network", "cgroup"])
def test_each_namespace_is_its_own_unless_left_out(rig: Rig, kind: str) -> None:
    file = KINDS[kind].file
    document = rig.config("readlink", f"/proc/self/ns/{file}")
    own, _ = rig.run(document)
    assert own.strip() != os.readlink(f"/proc/self/ns/{file}")
    if kind == "mount":
        return
    document = rig.config("readlink", f"/proc/self/ns/{file}")
    namespaces = document["linux"]["namespaces"]
    document["linux"]["namespaces"] = [item for item in namespaces if item["type"] != kind]
    document.pop("hostname")
    shared, _ = rig.run(document)
    assert shared.strip() == os.readlink(f"/proc/self/ns/{file}")


def test_namespaces_are_joined_by_path(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as first:
        pid = first.init.pid
        paths = [
            {"type": kind, "path": f"/proc/{pid}/ns/{KINDS[kind].file}"}
            for kind in ("pid", "network", "ipc", "uts")
        ]
        document = rig.config("sh", "-c", "ps; readlink /proc/self/ns/net")
        document["linux"]["namespaces"] = [{"type": "mount"}, {"type": "cgroup"}, *paths]
        document.pop("hostname")
        with output() as (pipe, read):
            second = rig.runtime.create("two", rig.bundle(document), pipe, _options())
            try:
                second.start()
                os.close(pipe.stdout)
                text = read()
            finally:
                second.delete()
        assert "sleep 60" in text
        assert f"net:[{identity(pid, KINDS['network'])[1]}]" in text
        assert identity("self", KINDS["pid"]) != identity(pid, KINDS["pid"])


def _options() -> Any:  # noqa: ANN401
    from tiffin.runtime.runtime import CreateOptions

    return CreateOptions()


def test_the_first_process_is_alone(rig: Rig) -> None:
    text = rig.shell("echo $$; ls /proc | grep -c '^[0-9]'; hostname; cat /proc/1/cmdline; true")
    first, count, name, command = text.split("\n", 3)
    assert (first, name) == ("1", "box")
    assert int(count) <= 3  # the shell, ls, grep
    assert command.startswith("sh\0-c")


def test_no_descriptor_leaks_in(rig: Rig) -> None:
    leak = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leak, True)
    try:
        text = rig.shell("for fd in /proc/self/fd/*; do readlink $fd; done; ls /proc/self/fd")
        names = text.split()
        assert "/dev/null" in names
        assert not any(name.startswith(("/etc", "socket", "anon_inode")) for name in names)
        assert set(names) & {str(number) for number in range(4, 300)} == set()
    finally:
        os.close(leak)


def test_capabilities_are_exactly_those_configured(rig: Rig) -> None:
    found = fields(rig.run(rig.config("cat", "/proc/self/status"))[0])
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(found[name], 16) == DEFAULT_MASK
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert found["NoNewPrivs"] == "0"
    assert int(found["SigIgn"], 16) == int(found["SigBlk"], 16) == int(found["SigCgt"], 16) == 0


def test_another_user_has_groups_and_no_capabilities(rig: Rig) -> None:
    document = rig.config("sh", "-c", "cat /proc/self/status; umask; echo $HOME; id -G")
    document["process"]["user"] = {
        "uid": 1000, "gid": 1000, "additionalGids": [5, 6], "umask": 0o077,
    }  # fmt: skip
    for name in ("effective", "permitted"):
        document["process"]["capabilities"][name] = []
    text, _ = rig.run(document)
    found = fields(text)
    assert found["Uid"].split() == ["1000"] * 4
    assert found["Groups"].split() == ["5", "6"]
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0
    assert text.split("\n")[-4:-1] == ["0077", "/home/user", "1000 5 6"]


def test_ambient_capabilities_survive_for_a_user(rig: Rig) -> None:
    document = rig.config("cat", "/proc/self/status")
    document["process"]["user"] = {"uid": 1000, "gid": 1000}
    names = ["CAP_NET_BIND_SERVICE"]
    document["process"]["capabilities"] = dict.fromkeys(
        ("bounding", "effective", "permitted", "inheritable", "ambient"), names
    )
    found = fields(rig.run(document)[0])
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[name], 16) == 1 << 10


def test_no_new_privileges(rig: Rig) -> None:
    document = rig.config("cat", "/proc/self/status")
    document["process"]["noNewPrivileges"] = True
    assert fields(rig.run(document)[0])["NoNewPrivs"] == "1"


FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
    "syscalls": [
        {"names": ["unshare", "keyctl", "mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
    ],
}


@pytest.mark.parametrize("no_new_privileges", [False, True])
@pytest.mark.parametrize("init", [False, True])
def test_the_filter_holds_for_root_and_for_execs(
    rig: Rig, no_new_privileges: bool, init: bool
) -> None:
    document = rig.config("sh", "-c", "unshare -m true; mkdir /x; cat /proc/self/status")
    document["linux"]["seccomp"] = FILTER
    document["process"]["noNewPrivileges"] = no_new_privileges
    text, _ = rig.run(document, init_process=init)
    assert "Operation not supported" in text
    assert "Read-only file system" in text
    found = fields(text)
    assert found["Seccomp"] == "2"
    assert int(found["CapEff"], 16) == DEFAULT_MASK


def test_paths_are_hidden_and_read_only(rig: Rig) -> None:
    script = (
        "for p in /proc/keys /proc/timer_list; do wc -c < $p; done; ls /sys/firmware /proc/acpi;"
        "touch /proc/sys/kernel/hostname /sys/x; echo box2 > /proc/sys/kernel/hostname;"
        "echo 1 > /sys/fs/cgroup/memory/tasks; mount -o remount,rw /proc/sys; umount /proc/keys"
    )
    text = rig.shell(script)
    assert text.startswith("0\n0\n")
    assert text.count("Read-only file system") >= 3
    assert "permission denied" in text.lower()


def test_a_read_only_root_has_writable_mounts(rig: Rig) -> None:
    text = rig.shell("touch /x; touch /dev/shm/y && echo written", root={"readonly": True})
    assert "Read-only file system" in text
    assert "written" in text


def test_devices_are_there_and_no_others_open(rig: Rig) -> None:
    script = (
        "for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$d; done;"
        "head -c 4 /dev/zero | wc -c; mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem;"
        "for l in fd stdin ptmx; do readlink /dev/$l; done"
    )
    text = rig.shell(script)
    assert "/dev/null 1:3 666" in text
    assert "/dev/full 1:7 666" in text
    assert "\n4\n" in text
    assert "/tmp/mem: Operation not permitted" in text
    assert "pts/ptmx" in text


def test_configured_devices(rig: Rig) -> None:
    document = rig.config("stat", "-c", "%t:%T %a %u:%g", "/dev/sub/fuse")
    document["linux"]["devices"] = [
        {"path": "/dev/sub/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640,
         "uid": 3, "gid": 4}
    ]  # fmt: skip
    assert rig.run(document)[0] == "a:e5 640 3:4\n"


def test_sysctls_and_host_names_are_the_containers(rig: Rig) -> None:
    document = rig.config("sh", "-c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
                          " /proc/sys/kernel/domainname; hostname")  # fmt: skip
    document["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "77"}
    document["domainname"] = "example.org"
    assert rig.run(document)[0] == "77\nexample.org\nbox\n"
    assert Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text() != "77\n"


def test_limits_that_the_host_refuses_are_lowered_with_a_warning(rig: Rig) -> None:
    document = rig.config("sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c")
    document["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 1 << 30, "hard": 1 << 30},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    document["process"]["oomScoreAdj"] = -1000
    text, _ = rig.run(document)
    soft, hard, core = text.split()
    assert soft == hard
    assert int(core) == 0
    if int(soft) < 1 << 30:
        assert any("RLIMIT_NOFILE lowered to" in text for text in rig.warnings)


def test_binds_and_their_options(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("content\n")
    (tmp_path / "single").write_text("single\n")
    document = rig.config(
        "sh", "-c", "cat /deep/er/file /etc/single; touch /deep/er/x; touch /rw/x; ls /rw",
        mounts=[
            _bind(tmp_path / "data", "/deep/er", "ro"),
            _bind(tmp_path / "single", "/etc/single", "ro"),
            _bind(tmp_path / "data", "/rw"),
        ],
    )  # fmt: skip
    text, _ = rig.run(document)
    assert "content\nsingle\n" in text
    assert "/deep/er/x: Read-only file system" in text
    assert text.endswith("file\nx\n")


def _bind(source: Path, target: str, *options: str) -> dict[str, Any]:
    words = ["rbind", "rprivate", *options]
    return {"destination": target, "type": "bind", "source": str(source), "options": words}


def test_the_host_never_sees_the_containers_mounts(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio):
        assert str(rig.place) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("target", ["/etc/link/x", "/link/x", "/relative/x", "/dangling"])
def test_links_of_an_image_never_lead_to_the_host(rig: Rig, tmp_path: Path, target: str) -> None:
    (rig.lower / "link").symlink_to(tmp_path / "secret")
    (rig.lower / "etc/link").symlink_to(f"/{'../' * 12}{tmp_path}/secret")
    (rig.lower / "relative").symlink_to(f"{'../' * 12}{tmp_path}/secret")
    (rig.lower / "dangling").symlink_to(tmp_path / "secret/new")
    secret = tmp_path / "secret"
    secret.mkdir()
    (tmp_path / "data").mkdir()
    document = rig.config("ls", target, mounts=[_bind(tmp_path / "data", target)])
    try:
        rig.run(document)
    except FailedPrecondition:
        pass  # as good
    assert list(secret.iterdir()) == []
    assert str(secret) not in Path("/proc/self/mountinfo").read_text()


def test_proc_behind_a_link_is_refused(rig: Rig) -> None:
    (rig.lower / "proc").symlink_to("/tmp")
    with pytest.raises(FailedPrecondition, match="proc"):
        rig.shell("true")


def test_an_image_cannot_misuse_the_mask(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    document = rig.config("cat", "/tmp/masked")
    (rig.lower / "tmp/masked").write_text("hidden")
    (rig.lower / "dev").mkdir()
    (rig.lower / "dev/null").symlink_to(secret)
    document["mounts"] = [item for item in document["mounts"] if item["destination"] == "/proc"]
    document["mounts"].append(_bind(rig.lower / "dev", "/dev"))
    document["linux"]["maskedPaths"] = ["/tmp/masked"]
    text, _ = rig.run(document)
    assert text == ""


def test_a_working_directory_outside_is_refused(rig: Rig) -> None:
    leak = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(leak, True)
    try:
        for number in (leak, 3, 7):
            document = rig.config("pwd")
            document["process"]["cwd"] = f"/proc/self/fd/{number}"
            with pytest.raises(FailedPrecondition):
                rig.run(document)
    finally:
        os.close(leak)


def test_the_working_directory_is_made(rig: Rig) -> None:
    document = rig.config("pwd")
    document["process"]["cwd"] = "/srv/app"
    assert rig.run(document)[0] == "/srv/app\n"
    document = rig.config("pwd")
    document["process"]["cwd"] = "/etc/passwd"
    with pytest.raises(FailedPrecondition, match="not a directory"):
        rig.run(document)


def test_a_plain_directory_as_root(rig: Rig) -> None:
    document = rig.config("sh", "-c", "touch /made; cat /proc/self/mountinfo")
    document.pop("annotations")
    document["root"]["path"] = str(rig.lower)
    text, _ = rig.run(document)
    assert (rig.lower / "made").exists()
    assert str(rig.place) not in text.replace(str(rig.lower), "")


def test_own_cgroups_are_shown_read_only(rig: Rig) -> None:
    text = rig.shell(
        "cat /proc/self/cgroup; ls /sys/fs/cgroup; cat /sys/fs/cgroup/pids/cgroup.procs"
    )
    assert rig.tag not in text
    assert "memory" in text


def test_explain_tells_each_step(rig: Rig) -> None:
    rig.shell("true")
    steps = [json.loads(line) for line in rig.steps]
    assert all(step["step"] and step["call"] for step in steps)
    calls = " ".join(step["call"] for step in steps)
    for call in ("clone3(", "pivot_root(", "capset(", 'fsopen("overlay")', "setsid()"):
        assert call in calls


def test_bad_configurations_are_refused_before_anything_is_made(rig: Rig) -> None:
    document = rig.config("true")
    document["process"]["args"] = []
    with pytest.raises(InvalidArgument, match="args"):
        rig.run(document)
    document = rig.config(
        "true", mounts=[{"destination": "/x", "type": "tmpfs", "options": ["a=b"]}]
    )
    with pytest.raises(FailedPrecondition, match=r'error mounting "tmpfs" to rootfs at "/x".*a'):
        rig.run(document)
    document = rig.config("true", mounts=[_bind(Path("/no/such/source"), "/x")])
    with pytest.raises(FailedPrecondition, match=r"/no/such/source.*no such file or directory"):
        rig.run(document)
