"""`run` and what follows it, with the real client."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e


def test_output_and_streams(daemon: Daemon, busybox: str) -> None:
    done = daemon.docker("run", "--rm", busybox, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
        (["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"], 143),
        (["no-such-program"], 127),
        (["/no/such/program"], 127),
        (["/etc"], 126),
        (["/etc/passwd"], 126),
    ],
)
def test_exit_codes(daemon: Daemon, busybox: str, command: list[str], code: int) -> None:
    done = daemon.docker("run", "--rm", busybox, *command, check=False)
    assert done.returncode == code, done.stderr


def test_faults_of_the_client_or_daemon_are_125(daemon: Daemon, busybox: str) -> None:
    assert daemon.docker("run", "--memory", "1k", busybox, check=False).returncode == 125
    assert daemon.docker("run", "--network", "nope", busybox, check=False).returncode == 125
    assert daemon.docker("ps", "-aq").stdout.strip() != "x"


def test_input_reaches_the_process_and_ends(daemon: Daemon, busybox: str) -> None:
    done = daemon.docker("run", "--rm", "-i", busybox, "sh", "-c", "cat; echo end", input="a\nb\n")
    assert done.stdout == "a\nb\nend\n"


def test_large_input_and_output_are_exact(daemon: Daemon, busybox: str) -> None:
    text = "".join(f"{n:09d}\n" for n in range(300_000))
    assert daemon.docker("run", "--rm", "-i", busybox, "cat", input=text).stdout == text


def test_a_terminal(daemon: Daemon, busybox: str) -> None:
    child = pexpect.spawn(
        "docker", ["run", "--rm", "-it", busybox, "sh"], env=daemon.environment, timeout=20,
        dimensions=(33, 101),
    )  # fmt: skip
    child.expect("# ")
    child.sendline("stty size")
    child.expect("33 101")
    child.setwinsize(40, 80)
    child.expect("# ")
    for _ in range(50):
        child.sendline("stty size")
        if child.expect(["40 80", "33 101"]) == 0:
            break
    else:
        pytest.fail("the new size did not arrive")
    child.sendline("exit 5")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


def test_detach_keys_leave_the_container_running(daemon: Daemon, busybox: str) -> None:
    child = pexpect.spawn(
        "docker", ["run", "-it", "--name", "detached", busybox, "sh"], env=daemon.environment,
        timeout=20,
    )  # fmt: skip
    child.expect("# ")
    child.send("\x10\x11")
    child.expect(pexpect.EOF)
    child.close()
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "detached").stdout == "true\n"
    again = pexpect.spawn("docker", ["attach", "detached"], env=daemon.environment, timeout=20)
    again.sendline("echo re''joined")
    again.expect("rejoined")
    again.sendline("exit")
    again.expect(pexpect.EOF)
    again.close()
    daemon.docker("rm", "-f", "detached")


def test_detached_life(daemon: Daemon, busybox: str) -> None:
    identifier = daemon.docker(
        "run", "-d", "--name", "life", busybox, "sleep", "1000"
    ).stdout.strip()
    assert len(identifier) == 64
    assert "life" in daemon.docker("ps", "--format", "{{.Names}}").stdout.split()
    assert daemon.docker("top", "life").stdout.count("sleep 1000") == 1
    daemon.docker("pause", "life")
    assert daemon.docker("inspect", "-f", "{{.State.Status}}", "life").stdout == "paused\n"
    daemon.docker("unpause", "life")
    daemon.docker("rename", "life", "lively")
    daemon.docker("restart", "-t", "0", "lively")
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "lively").stdout == "true\n"
    daemon.docker("stop", "-t", "0", "lively")
    state = json.loads(daemon.docker("inspect", "lively").stdout)[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    daemon.docker("start", "lively")
    daemon.docker("kill", "-s", "KILL", "lively")
    assert daemon.docker("wait", "lively").stdout == "137\n"
    assert daemon.docker("rm", "lively").stdout == "lively\n"
    assert daemon.docker("inspect", "lively", check=False).returncode == 1


def test_stop_sends_the_stop_signal_first(daemon: Daemon, busybox: str) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    daemon.docker("run", "-d", "--name", "polite", busybox, "sh", "-c", script)
    daemon.wait_until(lambda: "ready" in daemon.docker("logs", "polite").stdout, "ready")
    daemon.docker("stop", "polite")
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "polite").stdout == "3\n"
    assert daemon.docker("logs", "polite").stdout == "ready\nbye\n"
    daemon.docker("rm", "polite")


def test_signals_are_proxied(daemon: Daemon, busybox: str) -> None:
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    child = daemon.spawn("run", "--rm", busybox, "sh", "-c", script, stdin=subprocess.DEVNULL)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(20) == 9
    child.communicate()


def test_settings_reach_the_process(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FROM_FILE=1\n# no\n")
    script = 'echo "$A $FROM_FILE $(hostname) $(pwd) $(id -u):$(id -g) $HOME"'
    done = daemon.docker(
        "run", "--rm", "-e", "A=x y", "--env-file", str(tmp_path / "env"), "--hostname", "box", "-w",
        "/made",
        "-u", "1000:1000", "--label", "a=b", "--entrypoint", "sh", busybox, "-c", script,
    )  # fmt: skip
    assert done.stdout == "x y 1 box /made 1000:1000 /home\n"


def test_isolation(daemon: Daemon, busybox: str) -> None:
    script = "for n in mnt pid uts ipc net cgroup; do readlink /proc/self/ns/$n; done"
    inside = daemon.docker("run", "--rm", busybox, "sh", "-c", script).stdout.split()
    ours = [
        os.readlink(f"/proc/self/ns/{n}") for n in ("mnt", "pid", "uts", "ipc", "net", "cgroup")
    ]
    assert len(inside) == 6
    assert not set(inside) & set(ours)


def test_defaults_are_safe(daemon: Daemon, busybox: str) -> None:
    status = daemon.docker("run", "--rm", busybox, "cat", "/proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["CapEff"] == "00000000a80425fb"
    assert fields["CapBnd"] == "00000000a80425fb"
    assert fields["Seccomp"] == "2"
    listing = daemon.docker("run", "--rm", busybox, "ls", "/proc/self/fd").stdout.split()
    assert set(listing) <= {"0", "1", "2", "3"}
    exe = daemon.docker("run", "--rm", busybox, "sh", "-c", "cat /proc/kcore | head -c 1 | wc -c")
    assert exe.stdout.strip() == "0"
    written = daemon.docker("run", "--rm", busybox, "sh", "-c", "echo 1 > /proc/sys/kernel/domainname",
                            check=False)  # fmt: skip
    assert "Read-only file system" in written.stderr


@pytest.mark.parametrize(
    ("options", "script", "expected"),
    [
        (["--cap-add", "SYS_ADMIN"], "grep CapEff /proc/self/status", "a82425fb"),
        (["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "0000000000000000"),
        (["--privileged"], "grep Seccomp: /proc/self/status", "0"),
        (["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status", "1"),
        (["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status", "0"),
        (["--ulimit", "nofile=100:200"], "ulimit -n; ulimit -Hn", "100\n200"),
        (["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward", "1"),
        (["--tmpfs", "/t:size=1m"], "df -k /t | tail -1 | awk '{print $2}'", "1024"),
        (["--read-only"], "touch /x 2>&1; echo $?", "Read-only file system"),
        (["--init"], "ps -o pid,args | grep -v ps; cat /proc/1/comm", "tiffin"),
        (["--add-host", "far:10.9.8.7"], "grep far /etc/hosts", "10.9.8.7\tfar"),
        (["--network", "none"], "ls /sys/class/net", "lo"),
        (["--pids-limit", "50"], "cat /sys/fs/cgroup/pids/pids.max", "50"),
        (["--memory", "64m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864"),
        (["--cpus", "0.5"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000"),
        (["--device", "/dev/loop0:/dev/mine"], "test -b /dev/mine && echo yes", "yes"),
        (["--shm-size", "8m"], "df -k /dev/shm | tail -1 | awk '{print $2}'", "8192"),
        (["--group-add", "4242"], "id -G", "4242"),
    ],
)
def test_options(
    daemon: Daemon, busybox: str, options: list[str], script: str, expected: str
) -> None:
    done = daemon.docker("run", "--rm", *options, busybox, "sh", "-c", script)
    assert expected in done.stdout


def test_a_process_that_takes_too_much_memory_is_killed(daemon: Daemon, busybox: str) -> None:
    done = daemon.docker("run", "--name", "greedy", "--memory", "16m", busybox, "sh", "-c",
                         "tail -c 100m /dev/zero | wc -c", check=False)  # fmt: skip
    state = json.loads(daemon.docker("inspect", "greedy").stdout)[0]["State"]
    assert state["OOMKilled"], (done, state)
    daemon.docker("rm", "greedy")


def test_volumes_and_mounts(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host")
    done = daemon.docker(
        "run", "--rm", "-v", f"{tmp_path}:/bound:ro", "-v", "named:/data", "--mount",
        "type=tmpfs,dst=/scratch", busybox, "sh", "-c",
        "cat /bound/file; echo kept > /data/x; touch /bound/no; echo $?; touch /scratch/y",
    )  # fmt: skip
    assert done.stdout == "from the host1\n"
    again = daemon.docker("run", "--rm", "-v", "named:/data", busybox, "cat", "/data/x")
    assert again.stdout == "kept\n"
    assert daemon.docker("volume", "rm", "named").stdout == "named\n"


def test_a_missing_bind_source_of_mount_is_refused(daemon: Daemon, busybox: str) -> None:
    done = daemon.docker(
        "run", "--rm", "--mount", "type=bind,src=/no/such,dst=/x", busybox, check=False
    )
    assert done.returncode == 125
    assert "bind source path does not exist: /no/such" in done.stderr


def test_a_new_volume_gets_what_the_image_has_there(daemon: Daemon, busybox: str) -> None:
    done = daemon.docker("run", "--rm", "-v", "copied:/etc", busybox, "cat", "/etc/group")
    assert "root" in done.stdout
    daemon.docker("volume", "rm", "copied")


def test_names_conflict(daemon: Daemon, busybox: str) -> None:
    daemon.docker("create", "--name", "taken", busybox)
    done = daemon.docker("create", "--name", "taken", busybox, check=False)
    assert 'The container name "/taken" is already in use by container' in done.stderr
    daemon.docker("rm", "taken")


def test_restart_policy(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", busybox, "sh", "-c",
                  "echo once; exit 1")  # fmt: skip
    daemon.wait_until(
        lambda: daemon.docker("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "again").stdout
        == "exited 2\n",
        "two restarts", 20,
    )  # fmt: skip
    assert daemon.docker("logs", "again").stdout == "once\n" * 3
    daemon.docker("rm", "again")


def test_cidfile_and_labels(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    daemon.docker("create", "--cidfile", str(path), "--label", "x=y", busybox)
    found = daemon.docker("ps", "-aq", "--no-trunc", "--filter", "label=x=y").stdout.split()
    assert found == [path.read_text()]
    daemon.docker("rm", found[0])


def test_logs(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "talker", busybox, "sh", "-c",
                  "for i in 1 2 3 4 5; do echo line $i; done; echo bad >&2; sleep 1000")  # fmt: skip
    daemon.wait_until(lambda: "bad" in daemon.docker("logs", "talker").stderr, "written")
    assert daemon.docker("logs", "--tail", "2", "talker").stdout == "line 5\n"
    stamped = daemon.docker("logs", "-t", "--tail", "3", "talker").stdout.splitlines()
    assert stamped[0].endswith("Z line 4")
    follower = daemon.spawn("logs", "-f", "talker", stdin=subprocess.DEVNULL)
    daemon.docker("exec", "talker", "sh", "-c", "echo more > /proc/1/fd/1")
    daemon.docker("rm", "-f", "talker")
    out, _ = follower.communicate(timeout=20)
    assert out.decode().endswith("line 5\nmore\n")


def test_exec(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "host", busybox, "sleep", "1000")
    assert (
        daemon.docker("exec", "host", "hostname").stdout
        == daemon.docker("inspect", "-f", "{{.Config.Hostname}}", "host").stdout
    )
    assert daemon.docker("exec", "-i", "host", "cat", input="in").stdout == "in"
    assert daemon.docker("exec", "host", "sh", "-c", "exit 4", check=False).returncode == 4
    assert daemon.docker("exec", "host", "nope", check=False).returncode == 127
    done = daemon.docker("exec", "-e", "A=1", "-w", "/tmp", "-u", "user", "host", "sh", "-c",
                         "echo $A $(pwd) $(id -u)")  # fmt: skip
    assert done.stdout == "1 /tmp 1000\n"
    child = pexpect.spawn(
        "docker", ["exec", "-it", "host", "sh"], env=daemon.environment, timeout=20
    )
    child.expect("# ")
    child.sendline("tty; exit 6")
    child.expect("/dev/pts/")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 6
    daemon.docker("exec", "-d", "host", "touch", "/made")
    daemon.wait_until(
        lambda: daemon.docker("exec", "host", "ls", "/made", check=False).returncode == 0, "made"
    )
    daemon.docker("stop", "-t", "0", "host")
    refused = daemon.docker("exec", "host", "true", check=False)
    assert "is not running" in refused.stderr
    daemon.docker("rm", "host")


def test_cp_and_diff(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a").write_text("A")
    daemon.docker("create", "--name", "files", busybox, "sleep", "1000")
    daemon.docker("cp", str(source), "files:/in")
    daemon.docker("cp", "files:/in/sub/a", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "A"
    changes = daemon.docker("diff", "files").stdout.splitlines()
    assert "A /in" in changes
    assert "A /in/sub/a" in changes
    daemon.docker("start", "files")
    daemon.docker("cp", str(source / "sub" / "a"), "files:/tmp/b")
    assert daemon.docker("exec", "files", "cat", "/tmp/b", "/in/sub/a").stdout == "AA"
    missing = daemon.docker("cp", "files:/no/such", str(tmp_path), check=False)
    assert "Could not find the file /no/such in container files" in missing.stderr
    daemon.docker("rm", "-f", "files")


def test_a_symlink_in_the_container_leads_nowhere_outside(
    daemon: Daemon, busybox: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the host's")
    daemon.docker("run", "--name", "links", busybox, "ln", "-s", str(tmp_path), "/out")
    done = daemon.docker("cp", "links:/out/secret", str(tmp_path / "stolen"), check=False)
    assert done.returncode != 0
    assert not (tmp_path / "stolen").exists()
    (tmp_path / "evil").write_text("evil")
    daemon.docker("cp", str(tmp_path / "evil"), "links:/out/planted", check=False)
    assert not (tmp_path / "planted").exists()
    daemon.docker("rm", "links")


def test_events(daemon: Daemon, busybox: str) -> None:
    start = time.time()
    daemon.docker("run", "--rm", "--name", "noted", busybox, "true")
    done = daemon.docker(
        "events", "--since", f"{start:.6f}", "--until", f"{time.time() + 0.5:.6f}", "--filter",
        "container=noted", "--format", "{{.Action}}",
    )  # fmt: skip
    actions = done.stdout.split("\n")[:-1]
    assert actions[:2] == ["create", "attach"]
    assert actions[-2:] == ["die", "destroy"]


def test_explain_names_every_step(daemon: Daemon, busybox: str) -> None:
    done = daemon.tiffin("run", "--rm", "--explain", busybox, "true")
    for call in ("clone3", "mount", "pivot_root", "capset", "seccomp", "execve"):
        assert call in done.stderr, done.stderr


def test_the_daemons_death_is_not_the_containers(daemon: Daemon, busybox: str) -> None:
    script = "read x; echo got $x; exit 4"
    attached = daemon.spawn("run", "-i", "--name", "survivor", busybox, "sh", "-c", script)
    short = "echo begun; sleep 1; exit 5"
    daemon.docker("run", "-d", "--name", "short", busybox, "sh", "-c", short)
    daemon.docker("run", "-d", "--name", "long", busybox, "sleep", "1000")
    daemon.wait_until(
        lambda: (
            "true"
            in daemon.docker("inspect", "-f", "{{.State.Running}}", "survivor", check=False).stdout
        ),
        "running",
    )
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "long").stdout.strip()
    end = int(daemon.docker("inspect", "-f", "{{.State.Pid}}", "short").stdout)
    daemon.kill9()
    assert attached.stdin is not None
    assert attached.stdout is not None
    attached.stdin.write(b"hello\n")
    attached.stdin.flush()
    assert attached.stdout.readline() == b"got hello\n"
    daemon.wait_until(lambda: not Path(f"/proc/{end}").exists(), "ended while nobody looked")
    daemon.start()
    assert daemon.docker("inspect", "-f", "{{.State.Pid}}", "long").stdout.strip() == pid
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "short").stdout == "5\n"
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "survivor").stdout == "4\n"
    assert daemon.docker("logs", "survivor").stdout == "got hello\n"
    assert daemon.docker("exec", "long", "echo", "here").stdout == "here\n"
    attached.kill()
    attached.communicate()
    daemon.docker("rm", "-f", "short", "long", "survivor")
