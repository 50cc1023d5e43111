"""Every flag of `docker run`, by docker and by our client: seen from inside, and by inspect.

Each case has many flags, so that all of them cost little. The last test counts them.
"""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

GROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True)
class Case:
    """Flags that go together. `inside` maps what a shell says in the container to a pattern of it.

    `shown` maps members (`HostConfig.Memory`) to what inspect says.
    """

    name: str
    flags: str
    inside: dict[str, str]
    shown: dict[str, Any]


CASES = (
    Case(
        "identity",
        "--hostname box --domainname example.org --user 1000:50 --group-add 44 --workdir /tmp/work"
        " --env A=1 --env-file {files}/env --label a=b --label-file {files}/labels"
        " --annotation org.example=x --stop-signal SIGQUIT --stop-timeout 3 --log-driver json-file"
        " --log-opt max-size=1m --log-opt tag=t --cidfile {files}/cid-{client} --rm --quiet"
        " --pull never --platform linux --disable-content-trust --isolation default",
        {
            "hostname; hostname -f; cat /proc/sys/kernel/domainname":
                r"box\nbox.example.org\nexample.org",
            "id -u; id -g; id -G": r"1000\n50\n50 44",
            "pwd; stat -c %U /tmp/work": r"/tmp/work\nroot",
            'echo "$A $FROM_FILE $HOSTNAME $HOME"': "1 file box /",
        },
        {
            "Config.Hostname": "box", "Config.Domainname": "example.org", "Config.User": "1000:50",
            "Config.WorkingDir": "/tmp/work", "Config.Env": ["FROM_FILE=file", "A=1"],
            "Config.Labels": {"a": "b", "from": "file"}, "Config.StopSignal": "SIGQUIT",
            "Config.StopTimeout": 3, "HostConfig.Annotations": {"org.example": "x"},
            "HostConfig.LogConfig": {
                "Type": "json-file", "Config": {"max-size": "1m", "tag": "t"}},
            "HostConfig.AutoRemove": True, "HostConfig.GroupAdd": ["44"],
            "HostConfig.Isolation": "default",
        },
    ),
    Case(
        "memory and processes",
        "--memory 64m --memory-reservation 32m --memory-swap 128m --memory-swappiness 10"
        " --kernel-memory 0 --oom-score-adj 100 --oom-kill-disable --pids-limit 50"
        " --ulimit nofile=100:200 --ulimit core=0 --shm-size 8m --init --restart on-failure:3",
        {
            f"cd {GROUPS}/memory; cat memory.limit_in_bytes memory.soft_limit_in_bytes":
                r"67108864\n33554432",
            f"cat {GROUPS}/memory/memory.oom_control": "oom_kill_disable 1",
            f"cat {GROUPS}/pids/pids.max; cat /proc/self/oom_score_adj": r"50\n100",
            "ulimit -n; ulimit -Hn; ulimit -c": r"100\n200\n0",
            "df -k /dev/shm | tail -1 | awk '{print $2}'": "8192",
            "cat /proc/1/comm": "tiffin|docker-init|tini",
        },
        {
            "HostConfig.Memory": 64 << 20, "HostConfig.MemoryReservation": 32 << 20,
            "HostConfig.MemorySwap": 128 << 20, "HostConfig.OomScoreAdj": 100,
            "HostConfig.OomKillDisable": True, "HostConfig.PidsLimit": 50,
            "HostConfig.ShmSize": 8 << 20, "HostConfig.Init": True,
            "HostConfig.Ulimits": [{"Name": "core", "Hard": 0, "Soft": 0},
                                   {"Name": "nofile", "Hard": 200, "Soft": 100}],
            "HostConfig.RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        },
    ),
    Case(
        "processors and blocks",
        "--cpu-period 50000 --cpu-quota 25000 --cpu-shares 512 --cpuset-cpus 0 --cpuset-mems 0"
        " --cpu-rt-period 0 --cpu-rt-runtime 0 --blkio-weight 0"
        " --device-read-bps /dev/loop0:1mb --device-write-bps /dev/loop0:2mb"
        " --device-read-iops /dev/loop0:30 --device-write-iops /dev/loop0:40"
        " --cgroup-parent {tag}/flags --cgroupns private --no-healthcheck",
        {
            f"cd {GROUPS}/cpu; cat cpu.cfs_period_us cpu.cfs_quota_us cpu.shares":
                r"50000\n25000\n512",
            f"cd {GROUPS}/cpuset; cat cpuset.cpus cpuset.mems": r"0\n0",
            f"cd {GROUPS}/blkio; cat blkio.throttle.read_bps_device"
            " blkio.throttle.write_bps_device": r"7:0 1048576\n7:0 2097152",
            f"cd {GROUPS}/blkio; cat blkio.throttle.read_iops_device"
            " blkio.throttle.write_iops_device": r"7:0 30\n7:0 40",
            "grep -c : /proc/self/cgroup; grep pids /proc/self/cgroup": r"\d+\n\d+:pids:/",
        },
        {
            "HostConfig.CpuPeriod": 50000, "HostConfig.CpuQuota": 25000,
            "HostConfig.CpuShares": 512, "HostConfig.CpusetCpus": "0",
            "HostConfig.CpusetMems": "0", "HostConfig.CgroupnsMode": "private",
            "HostConfig.BlkioDeviceReadBps": [{"Path": "/dev/loop0", "Rate": 1 << 20}],
            "HostConfig.BlkioDeviceWriteBps": [{"Path": "/dev/loop0", "Rate": 2 << 20}],
            "HostConfig.BlkioDeviceReadIOps": [{"Path": "/dev/loop0", "Rate": 30}],
            "HostConfig.BlkioDeviceWriteIOps": [{"Path": "/dev/loop0", "Rate": 40}],
            "HostConfig.CgroupParent": "{tag}/flags", "Config.Healthcheck": {"Test": ["NONE"]},
        },
    ),
    Case(
        "a network",
        "--network flags-net --ip {net}.10 --ip6 fd00:7:7::10 --network-alias also"
        " --mac-address 02:42:aa:bb:cc:21 --link-local-ip 169.254.7.1"
        " --dns 192.0.2.53 --dns-option timeout:1 --dns-search example.org --add-host far:192.0.2.7"
        " --expose 9000 --publish 127.0.0.1::80 --publish 8125/udp --cpus 0.5",
        {
            "ip -o addr show eth0":
                r"inet {net}\.10/24[^$]*169\.254\.7\.1/\d+[^$]*fd00:7:7::10/64",
            "cat /sys/class/net/eth0/address": "02:42:aa:bb:cc:21",
            "cat /etc/resolv.conf": r"nameserver 127\.0\.0\.11\nsearch example.org\n"
                                    "options (ndots:0 )?timeout:1",
            "grep -c 192.0.2.7 /etc/hosts; grep far /etc/hosts": r"1\n192.0.2.7\tfar",
            "ping -c1 -W1 also | head -1": r"also \((fd00:7:7::|{net}\.)10\)",
            f"cat {GROUPS}/cpu/cpu.cfs_quota_us": "50000",
        },
        {
            "HostConfig.NanoCpus": 500_000_000, "HostConfig.Dns": ["192.0.2.53"],
            "HostConfig.DnsOptions": ["timeout:1"], "HostConfig.DnsSearch": ["example.org"],
            "HostConfig.ExtraHosts": ["far:192.0.2.7"], "HostConfig.NetworkMode": "flags-net",
            "HostConfig.PortBindings": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
                "8125/udp": [{"HostIp": "", "HostPort": ""}]},
            "Config.ExposedPorts": {"80/tcp": {}, "8125/udp": {}, "9000/tcp": {}},
            "NetworkSettings.Networks.flags-net.IPAMConfig": {
                "IPv4Address": "{net}.10", "IPv6Address": "fd00:7:7::10",
                "LinkLocalIPs": ["169.254.7.1"]},
            "NetworkSettings.Networks.flags-net.Aliases": ["also"],
            "NetworkSettings.Networks.flags-net.MacAddress": "02:42:aa:bb:cc:21",
        },
    ),
    Case(
        "the default bridge",
        "--publish-all --expose 7000-7001 --link flags-peer:peer --tty --uts host --pid host"
        " --ipc host --userns host",
        {
            "grep -c peer /etc/hosts; echo $PEER_NAME": r"1\r?\n/\S+/peer",
            "test -d /proc/{daemon_pid} && echo seen": "seen",
            "hostname": "{host_name}",
            "tty": "/dev/pts/0",
        },
        {
            "HostConfig.PublishAllPorts": True, "HostConfig.UTSMode": "host",
            "HostConfig.PidMode": "host", "HostConfig.IpcMode": "host",
            "HostConfig.UsernsMode": "host", "HostConfig.SecurityOpt": ["label=disable"],
            "Config.ExposedPorts": {"7000/tcp": {}, "7001/tcp": {}}, "Config.Tty": True,
        },
    ),
    Case(
        "files",
        "--volume flags-vol:/vol --volume {files}:/bound:ro --mount type=tmpfs,dst=/small,tmpfs-size=1m"
        " --mount type=volume,src=flags-vol,dst=/again,readonly --tmpfs /t:size=2m,mode=1700"
        " --volumes-from flags-peer:ro --volume-driver local --read-only --use-api-socket=false",
        {
            "touch /vol/x && ls /again": "x",
            "touch /again/y /bound/y /peer/y /y 2>&1 | grep -c 'Read-only'": "4",
            "df -k /small /t | awk '{print $2, $6}' | tail -2": r"1024 /small\n2048 /t",
            "stat -c %a /t; cat /bound/env": r"1700\nFROM_FILE=file",
        },
        {
            "HostConfig.Binds": ["flags-vol:/vol", "{files}:/bound:ro"],
            "HostConfig.ReadonlyRootfs": True, "HostConfig.VolumeDriver": "local",
            "HostConfig.VolumesFrom": ["flags-peer:ro"],
            "HostConfig.Tmpfs": {"/t": "size=2m,mode=1700"},
        },
    ),
    Case(
        "rights",
        "--cap-drop ALL --cap-add NET_RAW --cap-add CHOWN --security-opt no-new-privileges"
        " --security-opt seccomp=unconfined --device /dev/loop0:/dev/mine:r"
        " --device-cgroup-rule 'c 42:* rmw' --sysctl net.ipv4.ip_unprivileged_port_start=70"
        " --runtime tiffin --interactive --attach stdout",
        {
            "grep CapEff /proc/self/status": "0000000000002001",
            "grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status": r".*1\n.*0",
            "test -b /dev/mine && echo yes": "yes",
            f"grep -E '7:0 r$|42:' {GROUPS}/devices/devices.list": r"b 7:0 r\nc 42:\* rwm",
            "cat /proc/sys/net/ipv4/ip_unprivileged_port_start": "70",
        },
        {
            "HostConfig.CapAdd": ["CAP_CHOWN", "CAP_NET_RAW"], "HostConfig.CapDrop": ["ALL"],
            "HostConfig.SecurityOpt": ["no-new-privileges", "seccomp=unconfined"],
            "HostConfig.Devices": [{"PathOnHost": "/dev/loop0", "PathInContainer": "/dev/mine",
                                    "CgroupPermissions": "r"}],
            "HostConfig.DeviceCgroupRules": ["c 42:* rmw"], "HostConfig.Runtime": "tiffin",
            "HostConfig.Sysctls": {"net.ipv4.ip_unprivileged_port_start": "70"},
        },
    ),
    Case(
        "privileges and health",
        "--privileged --health-cmd true --health-interval 1s --health-retries 2 --health-timeout 2s"
        " --health-start-period 3s --health-start-interval 1s --entrypoint sh",
        {
            "test -e /dev/full && ls /dev | wc -l": r"\d\d+",
            "mount -t tmpfs none /tmp && echo mounted": "mounted",
            "touch /proc/sys/kernel/hostname && echo writable": "writable",
        },
        {
            "HostConfig.Privileged": True, "HostConfig.SecurityOpt": ["label=disable"],
            "HostConfig.MaskedPaths": None, "HostConfig.ReadonlyPaths": None,
            "Config.Healthcheck": {
                "Test": ["CMD-SHELL", "true"], "Interval": 10**9, "Timeout": 2 * 10**9,
                "StartPeriod": 3 * 10**9, "StartInterval": 10**9, "Retries": 2},
        },
    ),
)  # fmt: skip

REFUSED = {
    "--cpu-count 1": "only supported on a Docker daemon running on windows",
    "--cpu-percent 1": "only supported on a Docker daemon running on windows",
    "--io-maxbandwidth 1m": "only supported on a Docker daemon running on windows",
    "--io-maxiops 1": "only supported on a Docker daemon running on windows",
    "--gpus all": "could not select device driver",
    "--storage-opt size=1g": "--storage-opt is supported only for overlay over xfs",
    "--cap-add SYS_NOTHING": 'invalid CapAdd: unknown capability: "CAP_SYS_NOTHING"',
    "--isolation hyperv": "invalid isolation 'hyperv' on linux",
    "--blkio-weight 5000000": "value out of range",
    "--blkio-weight-device /dev/loop0:5": "invalid weight for device: /dev/loop0:5",
    "--runtime nosuch": "unknown or invalid runtime name: nosuch",
    "--platform windows/amd64": "Unable to find image",
    "--cgroupns nosuch": "--cgroupns: invalid CGROUP mode",
    "--use-api-socket --network host:": "conflicting options|invalid|not found",
}
"""Flags with what is said of values that cannot be meant here."""


@pytest.fixture(scope="module")
def words(daemon: Daemon, busybox: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Make what the flags speak of; return what to fill in."""
    files = tmp_path_factory.mktemp("files")
    (files / "env").write_text("FROM_FILE=file\n")
    (files / "labels").write_text("from=file\n")
    net = f"10.{160 + int(daemon.tag[-1], 36) % 10}.{int(daemon.tag[-2], 36)}"
    daemon.docker("network", "create", "--ipv6", "--subnet", f"{net}.0/24",
                  "--subnet", "fd00:7:7::/64", "flags-net")  # fmt: skip
    daemon.docker("run", "-d", "--stop-timeout", "0", "--name", "flags-peer", "-v", "/peer",
                  busybox, "sleep", "600")  # fmt: skip
    return {
        "files": str(files), "net": net, "tag": daemon.tag, "daemon_pid": str(daemon.pid),
        "host_name": Path("/proc/sys/kernel/hostname").read_text().strip(),
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_flags_do_their_work(
    daemon: Daemon, busybox: str, words: dict[str, str], case: Case
) -> None:
    script = "; echo =====; ".join(_filled(question, words) for question in case.inside)
    made = {}
    for client, run in (("docker", daemon.docker), ("tiffin", daemon.tiffin)):
        flags = [_filled(word, {**words, "client": client}) for word in shlex.split(case.flags)]
        run("create", "--name", f"flags-{client}", *flags, busybox,
            *(["sh"] if "--entrypoint" not in case.flags else []), "-c", script)  # fmt: skip
        made[client] = _inspect(daemon, f"flags-{client}")
    try:
        assert made["docker"] == made["tiffin"]
        wanted = {path: _filled(value, words) for path, value in case.shown.items()}
        assert {path: _member(made["docker"], path) for path in wanted} == wanted
        started = daemon.docker("start", "--attach", "flags-docker", check=False)
        told = re.split(r"=====\r?\n", started.stdout)
        assert len(told) == len(case.inside), (started.stdout, started.stderr)
        for (question, pattern), answer in zip(case.inside.items(), told, strict=True):
            assert re.search(_filled(pattern, words), answer), (question, answer, started.stderr)
    finally:
        daemon.docker("rm", "-f", "-v", "flags-docker", "flags-tiffin", check=False)


def _filled(value: Any, words: dict[str, str]) -> Any:  # noqa: ANN401  # JSON is untyped
    """Fill in `{name}` wherever a name is known."""
    text = json.dumps(value)
    for name, word in words.items():
        text = text.replace(f"{{{name}}}", word)
    return json.loads(text)


def _inspect(daemon: Daemon, name: str) -> dict[str, Any]:
    """Return what flags decide; a file of each client's own left out."""
    shown = json.loads(daemon.docker("inspect", name).stdout)[0]
    shown["HostConfig"].pop("ContainerIDFile")
    shown["Config"].pop("Hostname" if shown["Config"]["Hostname"] in shown["Id"] else "", None)
    shown["HostConfig"]["Ulimits"].sort(key=lambda limit: limit["Name"])
    for links in (shown["HostConfig"]["Links"] or [],):
        links[:] = [link.replace(name, "NAME") for link in links]
    networks = shown["NetworkSettings"]["Networks"]
    return {**{part: shown[part] for part in ("Config", "HostConfig", "Path", "Args")},
            "NetworkSettings": {"Networks": networks}}  # fmt: skip


def _member(shown: dict[str, Any], path: str) -> Any:  # noqa: ANN401  # JSON is untyped
    found: Any = shown
    for name in path.split("."):
        found = found[name]
    return found


@pytest.mark.parametrize("flags", REFUSED)
def test_what_cannot_be_is_refused_alike(daemon: Daemon, busybox: str, flags: str) -> None:
    told = []
    for run in (daemon.docker, daemon.tiffin):
        done = run("run", "--rm", *shlex.split(flags), busybox, "true", check=False)
        told.append((done.returncode, re.sub("docker|tiffin", "CLIENT", done.stderr)))
    assert told[0] == told[1]
    assert re.search(REFUSED[flags].replace("docker", "CLIENT"), told[0][1]), told[0]


def test_the_case_for_each_flag(daemon: Daemon) -> None:
    here = Path(__file__).read_text()
    listed = set(
        re.findall(r"^ +(?:-\w, )?--([\w-]+)", daemon.docker("run", "--help").stdout, re.MULTILINE)
    )
    windows = {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"}
    assert len(listed | windows) == 104
    assert sorted(flag for flag in listed if f"--{flag}" not in here) == []


def test_flags_of_the_client_itself(daemon: Daemon, busybox: str) -> None:
    for run in (daemon.docker, daemon.tiffin):
        run("run", "--detach", "--name", "flags-run", busybox, "cat")
        shown = _inspect(daemon, "flags-run")["Config"]
        assert not shown["AttachStdin"] | shown["AttachStdout"] | shown["AttachStderr"]
        daemon.docker("rm", "-f", "flags-run")
        flags = ("--sig-proxy=false", "--detach-keys", "ctrl-a", "--attach", "stdout", "-i", "--rm")
        done = run("run", *flags, busybox, "sh", "-c", "cat; echo no >&2", input="typed\n")
        assert (done.stdout, done.stderr) == ("typed\n", "")
        refused = run("run", "-d", "--attach", "stdout", busybox, check=False)
        assert "onflicting options: cannot specify both --attach and --detach" in refused.stderr
