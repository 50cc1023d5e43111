import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.types.mounts import (
    BindOptions,
    MountRequest,
    TmpfsOptions,
    VolumeOptions,
)
from tiffin.api.types.resources import Resources, Ulimit
from tiffin.engine.bundle import capabilities, limits
from tiffin.engine.bundle.devices import parse_rules
from tiffin.engine.bundle.environment import environment, override
from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.bundle.mount_requests import parse_mount, parse_tmpfs
from tiffin.engine.bundle.mount_words import (
    clean_target,
    is_mode,
    parse_bind,
    parse_volumes_from,
)
from tiffin.engine.bundle.seccomp import seccomp, translate
from tiffin.engine.bundle.security import parse_security_options
from tiffin.engine.bundle.users import Account, resolve_user
from tiffin.errors import FailedPrecondition, InvalidArgument

PASSWD = "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:100::/home/user:/bin/sh\nbroken\n::::\n"
GROUP = "root:x:0:\nusers:x:100:\nextra:x:77:user,other\nbad:x:y:\n"
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def read(path: str) -> list[str]:
    return {"/etc/passwd": PASSWD, "/etc/group": GROUP}[path].splitlines()


@pytest.mark.parametrize(
    ("text", "source", "target", "read_only", "kind"),
    [
        ("/a:/b", "/a", "/b", False, MountKind.BIND),
        ("/a/:/b/../c/", "/a", "/c", False, MountKind.BIND),
        ("/a:/b:ro", "/a", "/b", True, MountKind.BIND),
        ("/a:/b:rw,z,rshared", "/a", "/b", False, MountKind.BIND),
        ("name:/b", "name", "/b", False, MountKind.VOLUME),
        ("name:/b:ro,nocopy", "name", "/b", True, MountKind.VOLUME),
        ("/only", "", "/only", False, MountKind.VOLUME),
    ],
)
def test_binds(text: str, source: str, target: str, read_only: bool, kind: MountKind) -> None:
    point = parse_bind(text)
    assert (point.source or point.volume) == source
    assert (point.target, point.read_only, point.kind) == (target, read_only, kind)


def test_details_of_binds() -> None:
    assert parse_bind("/a:/b").propagation == "rprivate"
    assert parse_bind("/a:/b:slave").propagation == "slave"
    assert parse_bind("/a:/b").create_source
    assert parse_bind("/x").anonymous
    assert not parse_bind("n1:/x:nocopy").copy_up
    assert parse_bind("n1:/x", "other").driver == "other"
    wire = parse_bind("n1:/x").to_wire()
    assert (wire.mode, wire.rw, wire.driver) == ("z", True, "local")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid volume specification: ''"),
        (":/b", "invalid volume specification: ':/b'"),
        ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
        ("/a:ro", "invalid volume specification: '/a:ro'"),
        ("/a:/b:xx", "invalid mode: xx"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("/a:b", "mount path must be absolute"),
        ("/a:/", "destination can't be '/'"),
        ("/a:/..", "destination can't be '/'"),
        ("a:/b", "includes invalid characters for a local volume name"),
        ("../a:/b", "includes invalid characters for a local volume name"),
    ],
)
def test_binds_that_are_none(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_bind(text)
    assert message in str(caught.value)


@given(WORDS)
def test_any_bind_is_parsed_or_refused(text: str) -> None:
    try:
        point = parse_bind(text)
    except InvalidArgument:
        return
    assert point.target.startswith("/")
    assert point.target != "/"
    assert ".." not in point.target.split("/")
    assert point.kind is MountKind.VOLUME or point.source.startswith("/")


@given(WORDS)
def test_targets_are_clean_or_refused(text: str) -> None:
    try:
        clean = clean_target(text)
    except InvalidArgument:
        return
    assert clean_target(clean) == clean
    assert not {"", ".", ".."} & set(clean[1:].split("/"))


@given(st.lists(st.sampled_from(["ro", "rw", "z", "Z", "shared", "private", "nocopy", "x"])))
def test_modes(words: list[str]) -> None:
    kinds = [{"ro": 0, "rw": 0, "z": 1, "Z": 1, "shared": 2, "private": 2}.get(w, 3) for w in words]
    expected = "x" not in words and len(kinds) == len(set(kinds))
    assert is_mode(",".join(words)) == expected


def test_volumes_from() -> None:
    assert parse_volumes_from("a") == ("a", "rw")
    assert parse_volumes_from("a:ro") == ("a", "ro")
    for bad in ("", "a:x", "a:shared", "a:nocopy"):
        with pytest.raises(InvalidArgument):
            parse_volumes_from(bad)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (MountRequest(type="bind"), "field Target must not be empty"),
        (MountRequest(type="bind", target="/x"), "field Source must not be empty"),
        (MountRequest(type="bind", source="rel", target="/x"), "mount path must be absolute"),
        (MountRequest(type="x", target="/x"), "mount type unknown"),
        (MountRequest(type="tmpfs", source="/s", target="/x"), "field Source must not be"),
        (
            MountRequest(type="volume", target="/x", bind_options=BindOptions()),
            "field BindOptions must not be specified",
        ),
        (MountRequest(type="volume", target="/x", read_only=True), "must not set ReadOnly mode"),
        (
            MountRequest(
                type="volume", source="vv", target="/x",
                volume_options=VolumeOptions(subpath="../x"),
            ),
            "subpath must be a relative path within the volume",
        ),
        (
            MountRequest(
                type="bind", source="/a", target="/x", bind_options=BindOptions(propagation="x")
            ),
            "invalid propagation mode: x",
        ),
        (
            MountRequest(
                type="tmpfs", target="/x", tmpfs_options=TmpfsOptions(options=[["uid", "1"]])
            ),
            "invalid option: uid",
        ),
    ],
)  # fmt: skip
def test_mounts_that_are_none(request_: MountRequest, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_mount(request_)
    assert str(caught.value).startswith(f'invalid mount config for type "{request_.type}": ')
    assert message in str(caught.value)


def test_mounts() -> None:
    options = TmpfsOptions(size_bytes=1024, mode=0o755, options=[["exec"]])
    point = parse_mount(MountRequest(type="tmpfs", target="/t", tmpfs_options=options))
    assert point.tmpfs_options == ("nosuid", "nodev", "mode=755", "size=1024", "exec")
    bind = parse_mount(
        MountRequest(
            type="bind", source="/a", target="/b", read_only=True,
            bind_options=BindOptions(non_recursive=True, create_mountpoint=True),
        )
    )  # fmt: skip
    assert (bind.recursive, bind.create_source, bind.read_only) == (False, True, True)


def test_tmpfs() -> None:
    assert parse_tmpfs("/t", "").tmpfs_options == ("noexec", "nosuid", "nodev")
    assert parse_tmpfs("/t", "exec,size=1m").tmpfs_options == (
        "nosuid", "nodev", "exec", "size=1m",
    )  # fmt: skip
    assert parse_tmpfs("/t", "ro").read_only
    with pytest.raises(InvalidArgument, match=r'invalid tmpfs option \["lowerdir=/etc" "x"\]'):
        parse_tmpfs("/t", "lowerdir=/etc,x")


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", (), Account(0, 0, (0,), "/root")),
        ("root", (), Account(0, 0, (0,), "/root")),
        ("user", (), Account(1000, 100, (100, 77), "/home/user")),
        ("1000", (), Account(1000, 100, (100, 77), "/home/user")),
        ("user:extra", (), Account(1000, 77, (77,), "/home/user")),
        ("5", (), Account(5, 0, (0,), "/")),
        ("5:6", ("extra", "9"), Account(5, 6, (6, 77, 9), "/")),
        ("user", ("extra",), Account(1000, 100, (100, 77), "/home/user")),
    ],
)
def test_users(user: str, groups: tuple[str, ...], expected: Account) -> None:
    assert resolve_user(user, groups, read) == expected


def test_users_that_do_not_exist() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        resolve_user("foo", (), read)
    assert str(caught.value) == "unable to find user foo: no matching entries in passwd file"
    with pytest.raises(FailedPrecondition) as caught:
        resolve_user("user:foo", (), read)
    assert str(caught.value) == "unable to find group foo: no matching entries in group file"
    for huge in ("4294967296", "0:4294967296"):
        with pytest.raises(InvalidArgument, match="uids and gids must be in range"):
            resolve_user(huge, (), read)
    assert resolve_user("", (), lambda _path: ()).home == "/root"


@given(WORDS, st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_any_user_file_is_survived(user: str, passwd: list[str], group: list[str]) -> None:
    def lines(path: str) -> list[str]:
        return passwd if path == "/etc/passwd" else group

    try:
        account = resolve_user(user, (), lines)
    except (FailedPrecondition, InvalidArgument):
        return
    assert account.uid >= 0


def test_capabilities() -> None:
    assert capabilities.effective((), (), privileged=False) == capabilities.DEFAULT
    assert capabilities.effective((), ("ALL",), privileged=False) == ()
    assert capabilities.effective(("chown",), ("all",), privileged=False) == ("CAP_CHOWN",)
    everything = capabilities.effective(("ALL",), ("CAP_SYS_ADMIN",), privileged=False)
    assert set(capabilities.ALL) - set(everything) == {"CAP_SYS_ADMIN"}
    assert capabilities.effective((), ("ALL",), privileged=True) == capabilities.ALL
    assert capabilities.effective(("ALL",), ("ALL",), privileged=False) == capabilities.ALL
    both = capabilities.effective(("CHOWN",), ("CHOWN",), privileged=False)
    assert set(both) == set(capabilities.DEFAULT)
    with pytest.raises(InvalidArgument, match='invalid CapAdd: unknown capability: "CAP_ALL"'):
        capabilities.normalise(["CAP_ALL"], "CapAdd")


def test_environment() -> None:
    env = environment(["A=1", "PATH=/x", "HOME=/h"], hostname="n", terminal=True, home="/")
    assert env == ["PATH=/x", "HOSTNAME=n", "TERM=xterm", "A=1", "HOME=/h"]
    assert override(["A=1", "B=2"], ["B", "A=", "C=3=4"]) == ["A=", "C=3=4"]


def test_security_options() -> None:
    options = parse_security_options(
        ["no-new-privileges=false", "label=disable", "apparmor:x", "seccomp=unconfined",
         "writable-cgroups=true"]
    )  # fmt: skip
    assert (options.seccomp, options.apparmor) == ("unconfined", "x")
    assert (options.no_new_privileges, options.writable_cgroups) == (False, True)
    for word in ("no-new-privileges=x", "systempaths=unconfined", "unheard=of"):
        with pytest.raises(InvalidArgument, match=f'invalid --security-opt 2: "{word}"'):
            parse_security_options([word])
    with pytest.raises(InvalidArgument, match='invalid --security-opt 1: "word"'):
        parse_security_options(["word"])


def names_of(profile: dict[str, object]) -> set[str]:
    syscalls = profile["syscalls"]
    assert isinstance(syscalls, list)
    return {
        name
        for rule in syscalls
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }


def test_the_default_profile_follows_the_capabilities() -> None:
    plain = seccomp("", capabilities.DEFAULT)
    assert plain is not None
    assert seccomp("builtin", capabilities.DEFAULT) is plain
    assert {"read", "chroot"} <= names_of(plain)
    assert not {"mount", "bpf", "reboot", "init_module"} & names_of(plain)
    admin = seccomp("", ("CAP_SYS_ADMIN",))
    assert admin is not None
    assert {"mount", "bpf", "unshare"} <= names_of(admin)
    assert "chroot" not in names_of(admin)
    assert seccomp("unconfined", ()) is None


def test_own_profiles() -> None:
    rule = {
        "names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
        "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
        "includes": {"minKernel": "2.6"}, "excludes": {"caps": ["CAP_X"]},
    }  # fmt: skip
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert len(translate(profile, frozenset())["syscalls"]) == 1
    assert "syscalls" not in translate(profile, frozenset({"CAP_X"}))
    for bad in (
        "[]",
        "{",
        '{"defaultAction": 1}',
        '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":7}',
    ):
        with pytest.raises(InvalidArgument):
            seccomp(bad, ())
    assert seccomp("{}", ()) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"defaultAction": "SCMP_ACT_MAYBE"}, "unknown action 'SCMP_ACT_MAYBE'"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY is not supported"),
        ({"flags": ["SECCOMP_FILTER_FLAG_X"]}, "unknown flag"),
        ({"archMap": [{}], "architectures": ["SCMP_ARCH_X86"]}, "use either 'architectures' or"),
        ({"syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_LOG"}]},
         "use either 'name' or 'names'"),
        ({"syscalls": [{"names": ["b"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "4"}}]},
         'invalid kernel version: "4", expected "<kernel>.<major>"'),
        ({"syscalls": [{"names": ["b"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": 4}}]},
         "invalid kernel version: 4, expected"),
        ({"syscalls": [{"names": ["b"], "action": "SCMP_ACT_LOG",
                        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_XX"}]}]},
         "unknown operator 'SCMP_CMP_XX'"),
        ({"syscalls": [{"names": ["b"], "action": "SCMP_ACT_LOG",
                        "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]},
         "index of an argument cannot be 6"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_profile_is_told(change: dict[str, object], message: str) -> None:
    profile = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", **change})
    with pytest.raises(InvalidArgument) as raised:
        seccomp(profile, ())
    assert message in str(raised.value)


def test_rules_depend_on_machine_kernel_and_capabilities() -> None:
    def kept(**conditions: object) -> bool:
        rule = {"names": ["a"], "action": "SCMP_ACT_TRAP", **conditions}
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        return "syscalls" in translate(profile, frozenset({"CAP_A"}))

    assert kept(includes={"caps": ["CAP_A"], "minKernel": "2.6"})
    assert not kept(includes={"caps": ["CAP_A", "CAP_B"]})
    assert not kept(includes={"minKernel": "200.0"})
    assert not kept(excludes={"minKernel": "2.6"})
    assert not kept(includes={"arches": ["s390"]})
    assert not kept(excludes={"arches": ["amd64", "arm64", "riscv64"]})


def test_device_rules() -> None:
    assert parse_rules(["a *:* rwm", "c 1:3 r"]) == [
        {"allow": True, "type": "a", "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
    ]
    for bad in ("c 1 r", "x 1:1 r", "c 1:1 x", "c 1:1", ""):
        with pytest.raises(InvalidArgument, match="invalid device cgroup rule format"):
            parse_rules([bad])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Resources(memory_swap=1), "You should always set the Memory limit"),
        (Resources(memory=10 << 20, memory_swap=9 << 20), "Minimum memoryswap limit"),
        (Resources(memory_reservation=1), "Minimum memory reservation allowed is 6MB"),
        (Resources(memory=7 << 20, memory_reservation=8 << 20), "can not be less than memory res"),
        (Resources(memory_swappiness=101), "valid memory swappiness range is 0-100"),
        (Resources(nano_cpus=1, cpu_period=1), "Nano CPUs and CPU Period cannot both be set"),
        (Resources(nano_cpus=1, cpu_quota=1), "Nano CPUs and CPU Quota cannot both be set"),
        (Resources(cpu_period=1), "CPU cfs period can not be less than 1ms"),
        (Resources(cpu_quota=1), "CPU cfs quota can not be less than 1ms"),
        (Resources(cpuset_cpus="x"), "Invalid value x for cpuset cpus"),
        (Resources(cpuset_cpus="0-8000"), "Requested CPUs are not available"),
        (Resources(blkio_weight=5), "Range of blkio weight is from 10 to 1000"),
        (Resources(ulimits=[Ulimit(name="x")]), "invalid ulimit type: x"),
        (Resources(ulimits=[Ulimit(name="nofile", soft=2, hard=1)]), "ulimit soft limit"),
        (Resources(ulimits=[Ulimit(name="nofile", soft=-1, hard=1)]), "ulimit soft limit"),
        (Resources(device_cgroup_rules=["x"]), "invalid device cgroup rule format: 'x'"),
    ],
)
def test_limits_that_cannot_be_meant(wanted: Resources, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        limits.check_resources(wanted)
    assert message in str(caught.value)


@given(st.text("0123456789-,", max_size=12))
def test_any_cpuset_is_parsed_or_refused(text: str) -> None:
    try:
        limits.check_resources(Resources(cpuset_cpus=text))
    except InvalidArgument as error:
        assert text in str(error)  # noqa: PT017
