"""Limits, their change, figures and the end of memory, with the real client."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e


def group_file(daemon: Daemon, controller: str, name: str, file: str) -> str:
    identifier = daemon.docker("inspect", "-f", "{{.Id}}", name).stdout.strip()
    place = Path("/sys/fs/cgroup") / controller / daemon.tag / identifier
    return (place / file).read_text().strip()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"Memory": 4 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"Memory": 20 << 20, "MemorySwap": 10 << 20}, "Minimum memoryswap limit should be larger"),
        ({"MemorySwap": 20 << 20}, "You should always set the Memory limit when using Memoryswap"),
        ({"MemorySwappiness": 101}, "Invalid value: 101, valid memory swappiness range is 0-100"),
        ({"NanoCpus": 10**15}, "range of CPUs is from 0.01 to"),
        ({"NanoCpus": 1}, "range of CPUs is from 0.01 to"),
        ({"CpuShares": -1}, "invalid CPU shares (-1): value must be a positive integer"),
        ({"CpuPeriod": 1}, "CPU cfs period can not be less than 1ms"),
        ({"CpuQuota": 10**17}, "CPU cfs quota can not be larger than"),
        ({"CpusetCpus": "4000"}, "Requested CPUs are not available - requested 4000, available: "),
        ({"CpusetMems": "1-"}, "Invalid value 1- for cpuset mems: invalid format: 1-"),
        ({"CpuRealtimeRuntime": 2, "CpuRealtimePeriod": 1}, "cpu real-time runtime cannot be high"),
        ({"PidsLimit": 10**9}, "invalid PIDs limit (1000000000)"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/vda", "Rate": -1}]}, "invalid rate for device"),
        ({"OomScoreAdj": 1001}, "range for oom score adj is [-1000, 1000]"),
        ({"StorageOpt": {"size": "10M"}}, "--storage-opt is supported only for overlay over xfs"),
        ({"StorageOpt": {"depth": "1"}}, "unknown option depth"),
        ({"Sysctls": {"kernel.panic": "1"}}, "is not in a separate kernel namespace"),
    ],
)
def test_what_cannot_be_meant(
    daemon: Daemon, busybox: str, limits: dict[str, Any], message: str
) -> None:
    status, answer = daemon.api(
        "POST", "/containers/create", {"Image": busybox, "HostConfig": limits}
    )
    assert (status, message in answer["message"]) == (400, True), answer


@pytest.mark.parametrize(
    "limits",
    [
        {"CpuRealtimeRuntime": 10**7},
        {"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]},
        {"BlkioDeviceReadBps": [{"Path": "/dev/nosuch", "Rate": 1}]},
    ],
)
def test_what_the_kernel_refuses_is_no_fault_of_the_daemon(
    daemon: Daemon, busybox: str, limits: dict[str, Any]
) -> None:
    body = {"Image": busybox, "Cmd": ["true"], "HostConfig": limits}
    status, answer = daemon.api("POST", "/containers/create?name=refused", body)
    assert status == 201, answer
    status, answer = daemon.api("POST", "/containers/refused/start")
    assert status == 400, answer
    daemon.docker("rm", "refused")


def test_limits_change_by_dockers_rules(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "changing", busybox, "sleep", "1000")

    def refused(*options: str) -> str:
        done = daemon.docker("update", *options, "changing", check=False)
        assert done.returncode == 1
        return done.stderr

    assert "update the memoryswap at the same time" in refused("--memory", "32m")
    daemon.docker("update", "--memory", "32m", "--memory-swap", "64m", "changing")
    assert group_file(daemon, "memory", "changing", "memory.limit_in_bytes") == str(32 << 20)
    daemon.docker("update", "--memory", "128m", "--memory-swap", "-1", "changing")
    assert group_file(daemon, "memory", "changing", "memory.limit_in_bytes") == str(128 << 20)
    daemon.docker("update", "--cpus", "0.5", "--pids-limit", "9", "--cpuset-cpus", "0",
                  "--cpu-shares", "77", "--cpu-rt-runtime", "1000", "changing")  # fmt: skip
    assert group_file(daemon, "cpu", "changing", "cpu.cfs_quota_us") == "50000"
    assert group_file(daemon, "cpu", "changing", "cpu.rt_runtime_us") == "1000"
    assert group_file(daemon, "pids", "changing", "pids.max") == "9"
    assert "CPU Quota cannot be updated as NanoCPUs has already been set" in refused(
        "--cpu-quota", "5000"
    )
    assert "Requested CPUs are not available" in refused("--cpuset-cpus", "4000")
    assert "unknown policy 'x'" in refused("--restart", "x")
    daemon.docker("update", "--pids-limit", "-1", "--restart", "on-failure:3", "changing")
    assert group_file(daemon, "pids", "changing", "pids.max") == "max"
    daemon.docker("pause", "changing")
    daemon.docker("update", "--cpu-shares", "99", "changing")
    daemon.docker("unpause", "changing")
    assert group_file(daemon, "cpu", "changing", "cpu.shares") == "99"
    daemon.docker("kill", "changing")
    daemon.docker("update", "--memory", "48m", "--memory-swap", "48m", "changing")
    daemon.docker("start", "changing")
    assert group_file(daemon, "memory", "changing", "memory.limit_in_bytes") == str(48 << 20)
    daemon.docker("rm", "-f", "changing")


def test_memory_that_runs_out_is_told_at_once(daemon: Daemon, busybox: str) -> None:
    script = "tail /dev/zero; trap 'exec tail /dev/zero' TERM; sleep 1000 & wait"
    limits = ("-m", "12m", "--memory-swap", "12m")
    daemon.docker("run", "-d", "--name", "hungry", *limits, busybox, "sh", "-c", script)
    daemon.wait_until(
        lambda: "true running" in daemon.docker(
            "inspect", "-f", "{{.State.OOMKilled}} {{.State.Status}}", "hungry"
        ).stdout,
        "the end of a child is told while the container runs",
    )  # fmt: skip
    daemon.docker("kill", "-s", "TERM", "hungry")
    assert daemon.docker("wait", "hungry").stdout == "137\n"
    done = daemon.docker("events", "--since", "0", "--until", str(int(time.time()) + 1),
                         "--filter", "container=hungry", "--format", "{{.Action}}")  # fmt: skip
    actions = done.stdout.split()
    assert actions.count("oom") == 2
    assert actions.index("oom") < actions.index("die")
    daemon.docker("rm", "hungry")


def test_figures_of_a_known_load(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "busy", "--cpus", "0.3", "-m", "100m", busybox, "sh", "-c",
                  "head -c 20000000 /dev/zero >/dev/shm/x; while :; do :; done")  # fmt: skip
    daemon.wait_until(lambda: usage(daemon)["memory_stats"]["usage"] > 20_000_000, "it is filled")
    status, text = daemon.api("GET", "/containers/busy/stats?stream=0")
    assert status == 200
    now, before = text["cpu_stats"], text["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now["system_cpu_usage"] - before["system_cpu_usage"]
    assert used / passed * now["online_cpus"] == pytest.approx(0.3, abs=0.1)
    assert now["throttling_data"]["throttled_periods"] > 0
    assert text["memory_stats"]["limit"] == 100 << 20
    assert 20_000_000 < text["memory_stats"]["usage"] < 40_000_000
    assert text["pids_stats"]["current"] == 1
    assert set(text["networks"]) == {"eth0"}
    shown = daemon.docker("stats", "--no-stream", "--format", "{{json .}}", "busy").stdout
    assert json.loads(shown)["MemUsage"].endswith("/ 100MiB")
    daemon.docker("rm", "-f", "busy")
    daemon.docker("create", "--name", "idle", busybox, "true")
    status, text = daemon.api("GET", "/containers/idle/stats?stream=0&one-shot=1")
    assert (status, text["memory_stats"], text["name"]) == (200, {}, "/idle")
    daemon.docker("rm", "idle")


def usage(daemon: Daemon) -> dict[str, Any]:
    status, figures = daemon.api("GET", "/containers/busy/stats?stream=0&one-shot=1")
    assert status == 200
    assert isinstance(figures, dict)
    return figures


def test_top_speaks_ps(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "shown", busybox, "sh", "-c", "sleep 1000 & wait")
    daemon.wait_until(
        lambda: len(daemon.docker("top", "shown").stdout.splitlines()) == 3, "both run"
    )
    assert daemon.docker("top", "shown").stdout.split()[:3] == ["UID", "PID", "PPID"]
    tree = daemon.docker("top", "shown", "axf").stdout
    assert "\\_ sleep 1000" in tree
    names = daemon.docker("top", "shown", "-o", "pid,comm", "--sort", "-pid").stdout.split()
    assert names[1::2] == ["COMMAND", "sleep", "sh"]
    done = daemon.docker("top", "shown", "-o", "comm", check=False)
    assert "Couldn't find PID field in ps output" in done.stderr
    daemon.docker("rm", "-f", "shown")


def test_devices_by_name_and_rule(daemon: Daemon, busybox: str) -> None:
    done = daemon.docker(
        "run", "--rm", "--device", "/dev/zero:/dev/naught:r", "--device-cgroup-rule", "b 7:0 r",
        busybox, "sh", "-c",
        "head -c 1 /dev/naught >/dev/null && echo reads; (: >/dev/naught) 2>&1;"
        " mknod /dev/disk b 7 0; (: </dev/disk) && echo reads2; (: >/dev/disk) 2>&1; true",
    )  # fmt: skip
    # What is allowed by default stays so: /dev/zero may be written to by any name.
    assert done.stdout.splitlines()[0] == "reads"
    assert "reads2" in done.stdout
    assert "can't create /dev/disk: Operation not permitted" in done.stdout
