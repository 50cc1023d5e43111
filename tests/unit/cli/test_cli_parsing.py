import pytest

from tiffin.cli.containers.options import FLAGS
from tiffin.cli.containers.spec import create_body
from tiffin.cli.flags import UsageError, parse
from tiffin.cli.parse_mounts import parse_mount
from tiffin.cli.parse_ports import parse_expose, parse_publish
from tiffin.cli.ports import format_ports


@pytest.mark.parametrize(
    ("text", "bindings"),
    [
        ("80", {"80/tcp": [("", "")]}),
        ("8080:80", {"80/tcp": [("", "8080")]}),
        ("127.0.0.1:8080:80/udp", {"80/udp": [("127.0.0.1", "8080")]}),
        ("[::1]:53:53/udp", {"53/udp": [("::1", "53")]}),
        ("127.0.0.1::80", {"80/tcp": [("127.0.0.1", "")]}),
        ("8000-8001:80-81", {"80/tcp": [("", "8000")], "81/tcp": [("", "8001")]}),
        ("8000-8009:80", {"80/tcp": [("", "8000-8009")]}),
        ("target=80,published=8080,protocol=udp", {"80/udp": [("", "8080")]}),
    ],
)
def test_publish(text: str, bindings: dict[str, list[tuple[str, str]]]) -> None:
    exposed, found = parse_publish([text])
    assert set(exposed) == set(bindings)
    plain = {k: [(b["HostIp"], b["HostPort"]) for b in v] for k, v in found.items()}
    assert plain == bindings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "invalid containerPort: abc"),
        ("1:2:3:4", "invalid IP address: 1:2"),
        ("80/foo", "invalid proto: foo"),
        ("x:80", "invalid hostPort: x"),
        ("70000:80", "invalid hostPort: 70000"),
        (
            "80-90:80-85",
            "invalid ranges specified for container and host Ports: 80-85 and 80-90",
        ),
    ],
)
def test_publish_faults(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_publish([text])
    assert str(caught.value) == message


def test_expose_ranges() -> None:
    assert list(parse_expose(["80-82/udp"])) == ["80/udp", "81/udp", "82/udp"]


def test_mounts() -> None:
    assert parse_mount("type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave") == {
        "Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True,
        "BindOptions": {"Propagation": "rslave"},
    }  # fmt: skip
    assert parse_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770") == {
        "Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("type=bind,src=/a", "target is required"),
        (
            "type=volume,dst=/b,bind-propagation=shared",
            "cannot mix 'bind-*' options with mount type",
        ),
        ("type=bind,dst=/b,what=1", "unexpected key 'what' in 'what=1'"),
        ("foo", "invalid field 'foo' must be a key=value pair"),
    ],
)
def test_mount_faults(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault.replace("*", r"\*")):
        parse_mount(text)


def test_ports_column_joins_neighbours() -> None:
    ports = [
        {"PrivatePort": 80, "PublicPort": 8080, "IP": "0.0.0.0", "Type": "tcp"},
        {"PrivatePort": 81, "PublicPort": 8081, "IP": "0.0.0.0", "Type": "tcp"},
        {"PrivatePort": 80, "PublicPort": 8080, "IP": "::", "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ]
    assert format_ports(ports) == "0.0.0.0:8080-8081->80-81/tcp, [::]:8080->80/tcp, 443/tcp"


def body(*words: str) -> dict[str, object]:
    values, rest = parse(FLAGS, words, interspersed=False)
    return create_body(values, rest[0], rest[1:])


def test_a_request_has_what_the_flags_said() -> None:
    made = body(
        "-it", "--name", "x", "-e", "A=b", "-m", "64m", "--cpus", "1.5", "-v", "/h:/c:ro", "-v", "/anon",
        "--network", "front", "--network-alias", "web", "--ulimit", "nofile=10:20", "alpine", "sh", "-c",
        "x",
    )  # fmt: skip
    host = made["HostConfig"]
    assert isinstance(host, dict)
    assert made["Cmd"] == ["sh", "-c", "x"]
    assert made["Volumes"] == {"/anon": {}}
    assert host["Binds"] == ["/h:/c:ro"]
    assert host["Memory"] == 64 << 20
    assert host["NanoCpus"] == 1_500_000_000
    assert host["NetworkMode"] == "front"
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 10, "Hard": 20}]
    assert made["NetworkingConfig"] == {"EndpointsConfig": {"front": {"Aliases": ["web"]}}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rm", "--restart", "always", "x"], "conflicting options"),
        (["--no-healthcheck", "--health-cmd", "y", "x"], "--no-healthcheck conflicts"),
        (["--ulimit", "nofile", "x"], "invalid ulimit argument"),
        (["--memory-swappiness", "101", "x"], "invalid value: 101"),
    ],
)
def test_conflicts(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        body(*words)
