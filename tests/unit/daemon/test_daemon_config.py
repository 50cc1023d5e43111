import json
from pathlib import Path

import pytest

from tiffin.daemon import flags
from tiffin.daemon.config import Config, load
from tiffin.daemon.options import OPTIONS
from tiffin.errors import InvalidArgument


def configure(tmp_path: Path, *arguments: str, file: object = None) -> Config:
    path = tmp_path / "daemon.json"
    path.write_text(file if isinstance(file, str) else json.dumps(file or {}))
    return load(flags.parse(["--config-file", str(path), *arguments]))


def test_defaults(tmp_path: Path) -> None:
    config = configure(tmp_path)
    assert config.roots.data == Path("/var/lib/tiffin")
    assert config.hosts == ("unix:///run/tiffin/tiffin.sock",)
    assert config.bridge.icc
    assert config.bridge.mtu == 0
    assert config.containers.shm_bytes == 64 << 20
    assert config.tls is None


def test_dockers_flag_rules() -> None:
    assert flags.parse(["-D", "-H", "unix:///a", "-Htcp://b", "--host=fd://"]) == {
        "debug": True,
        "host": ["unix:///a", "tcp://b", "fd://"],
    }
    assert flags.parse(["-Dl", "warn", "--icc=false", "--mtu", "1400"]) == {
        "debug": True,
        "log-level": "warn",
        "icc": False,
        "mtu": 1400,
    }
    assert flags.parse(["--log-opt", "max-size=1m", "--log-opt=max-file=2"]) == {
        "log-opt": {"max-size": "1m", "max-file": "2"}
    }
    assert flags.parse(["--default-address-pool", "base=10.0.0.0/8,size=24"]) == {
        "default-address-pool": [{"base": "10.0.0.0/8", "size": 24}]
    }
    assert flags.parse(["--default-ulimit", "nofile=10:20"]) == {
        "default-ulimit": {"nofile": {"Name": "nofile", "Soft": 10, "Hard": 20}}
    }
    options = [
        f"--default-network-opt={text}" for text in ("bridge=a.b=1", "bridge=c=", "macvlan=d=x=y")
    ]
    assert flags.parse(options) == {
        "default-network-opt": {"bridge": {"a.b": "1", "c": ""}, "macvlan": {"d": "x=y"}}
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["-Z"], "unknown shorthand flag: 'Z' in -Z"),
        (["-DZ"], "unknown shorthand flag: 'Z' in -DZ"),
        (["--mtu"], "flag needs an argument: --mtu"),
        (["-H"], "flag needs an argument: 'H' in -H"),
        (["--mtu=x"], 'invalid argument "x" for "--mtu" flag'),
        (["--icc=maybe"], 'invalid argument "maybe" for "--icc" flag'),
        (["--default-address-pool", "x"], "must be a key=value pair"),
        (["--default-network-opt", "bridge=x"], "expected <driver>=<key>=<value>"),
        (["run"], '"tiffind" accepts no arguments'),
    ],
)
def test_faulty_flags(arguments: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        flags.parse(arguments)
    assert message in str(raised.value)


def test_the_file_has_dockers_keys(tmp_path: Path) -> None:
    config = configure(
        tmp_path,
        file={
            "data-root": "/a",
            "hosts": ["tcp://127.0.0.1:1"],
            "labels": ["a=b"],
            "bip": "10.1.0.1/24",
            "default-address-pools": [{"base": "10.2.0.0/16", "size": 24}],
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}},
            "default-shm-size": "1g",
            "log-driver": "none",
            "log-opts": {"max-size": "1m"},
            "insecure-registries": ["r:5000"],
            "registry-mirrors": ["https://mirror.example.org"],
            "tlsverify": True,
            "live-restore": True,
            "features": {"buildkit": True},
        },
    )
    assert config.roots.data == Path("/a")
    assert config.bridge.bip == "10.1.0.1/24"
    assert config.bridge.address_pools == (("10.2.0.0/16", 24),)
    assert config.containers.ulimits == {"nofile": (1, 2)}
    assert config.containers.shm_bytes == 1 << 30
    assert config.tls is not None
    assert config.tls.verify
    assert config.registry.insecure == ("r:5000",)
    assert config.warnings == ("feature buildkit has no effect here and is ignored",)


def test_conflicts_are_told_in_dockers_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as raised:
        configure(tmp_path, "-D", "--label", "x=y", file={"debug": False, "labels": ["a=b"]})
    assert str(raised.value) == (
        f"unable to configure the Docker daemon with file {tmp_path}/daemon.json: the following"
        " directives are specified both as a flag and in the configuration file:"
        " debug: (from flag: true, from file: false), labels: (from flag: [x=y], from file: [a=b])"
    )


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"nope": 1, "bad": 2}, "don't match any configuration option: bad, nope"),
        ("{", "invalid JSON"),
        ("[]", "must hold one object"),
        ({"debug": "yes"}, 'invalid value for debug: "yes"'),
        ({"mtu": True}, "invalid value for mtu: true"),
        ({"hosts": "unix:///x"}, "invalid value for hosts"),
    ],
)
def test_faulty_files(tmp_path: Path, file: object, message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        configure(tmp_path, file=file)
    assert message in str(raised.value)
    assert "unable to configure the Docker daemon with file" in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bip", "10.0.0.1"], "invalid CIDR address for bip: 10.0.0.1"),
        (["--bip", "x/24"], "invalid CIDR"),
        (["--fixed-cidr", "10.0.0.1/8"], "invalid CIDR"),
        (["--dns", "x"], "is not an ip address"),
        (["--ip", "x"], "is not an ip address"),
        (["--label", "x"], "bad attribute format: x"),
        (["--log-level", "loud"], "invalid logging level: loud"),
        (["--log-format", "xml"], "invalid log format: xml"),
        (["--storage-driver", "zfs"], "unknown storage driver: zfs"),
        (["--default-address-pool", "base=10.0.0.0/24,size=16"], "default address pool"),
        (["--registry-mirror", "ftp://x"], "invalid mirror"),
        (["--max-concurrent-downloads", "0"], "invalid max concurrent downloads"),
        (["--default-shm-size", "lots"], "invalid size: 'lots'"),
        (["--mtu", "-1"], "invalid default MTU"),
        (["-b", "br0", "--bip", "10.0.0.1/8"], "mutually exclusive"),
    ],
)
def test_faulty_values(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        configure(tmp_path, *arguments)
    assert message in str(raised.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no such file or directory"):
        load({"config-file": str(tmp_path / "missing")})


def test_every_option_is_one_of_a_kind() -> None:
    names = [option.flag for option in OPTIONS if option.flag]
    keys = [option.key for option in OPTIONS if option.key]
    shorts = [option.short for option in OPTIONS if option.short]
    for words in (names, keys, shorts):
        assert len(words) == len(set(words))
    assert "--registry-mirror list" in flags.usage()


def test_bad_log_options_are_found_at_the_start(tmp_path: Path) -> None:
    message = "failed to set log opts: unknown log opt 'x' for journald log driver"
    with pytest.raises(InvalidArgument, match=f"^{message}$"):
        configure(tmp_path, "--log-driver", "journald", "--log-opt", "x=1")
    good = configure(tmp_path, file={"log-driver": "journald", "log-opts": {"tag": "t"}})
    assert good.containers.log_options == {"tag": "t"}
