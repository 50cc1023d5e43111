"""Containers whose root is nobody on the host: for all by --userns-remap, for one by a word."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

FIRST = 300_000
FILES = {
    "passwd": "remapped:x:4321:4321::/:/bin/false\n",
    "group": "remapped:x:4321:\n",
    "subuid": f"remapped:{FIRST}:65536\n",
    "subgid": f"remapped:{FIRST}:65536\n",
}


class RemappedDaemon(Daemon):
    """A daemon that sees users of its own in /etc, in a mount namespace of its own."""

    def __init__(self) -> None:
        super().__init__("--userns-remap", "remapped")
        self._made: list[Path] = []
        for name, lines in FILES.items():
            host = Path("/etc", name)
            if not host.exists():
                host.touch()  # something must be there to be mounted over
                self._made.append(host)
            (self.base / name).write_text(host.read_text() + lines)

    def destroy(self) -> None:
        super().destroy()
        for path in self._made:
            path.unlink()

    def command(self, host: str) -> list[str]:
        script = "".join(f"mount --bind {self.base}/{name} /etc/{name};" for name in FILES)
        return ["unshare", "-m", "sh", "-c", f'{script} exec "$@"', "-", *super().command(host)]


@pytest.fixture(scope="module")
def remapped() -> Iterator[Daemon]:
    started = RemappedDaemon()
    try:
        started.start()
        started.import_busybox("busybox")
        yield started
    finally:
        started.destroy()


def host_ids(daemon: Daemon, name: str) -> tuple[int, str]:
    """Return the owner of a container's first process, and its uid_map."""
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    maps = Path(f"/proc/{pid}/uid_map").read_text().split()
    return os.stat(f"/proc/{pid}").st_uid, " ".join(maps)


def test_info_tells_of_it(remapped: Daemon) -> None:
    assert "name=userns" in remapped.docker("info", "-f", "{{.SecurityOptions}}").stdout


def test_files_have_the_containers_owners_everywhere(remapped: Daemon, tmp_path: Path) -> None:
    run = remapped.docker
    run("run", "-d", "--name", "one", "-v", "vol:/vol", "-p", "127.0.0.1::80", "busybox", "sh", "-c",
        "touch /root-file /vol/file; su -s /bin/sh nobody -c 'touch /tmp/his' 2>/dev/null;"
        "chown 77:78 /vol/file; id -u; sleep 600")  # fmt: skip
    try:
        assert host_ids(remapped, "one") == (FIRST, f"0 {FIRST} 65536")
        remapped.wait_until(lambda: run("logs", "one").stdout == "0\n", "it has run")
        volume = run("volume", "inspect", "-f", "{{.Mountpoint}}", "vol").stdout.strip()
        assert (os.stat(f"{volume}/file").st_uid, os.stat(f"{volume}/file").st_gid) == (77, 78)
        # Out of a running container, and into it.
        assert "77/78" in remapped.run("sh", "-c", "docker cp one:/vol/file - | tar -tv").stdout
        (tmp_path / "in").write_text("x")
        os.chown(tmp_path / "in", 55, 56)
        run("cp", "-a", str(tmp_path / "in"), "one:/tmp/in")
        run("cp", str(tmp_path / "in"), "one:/tmp/plain")
        shown = run("exec", "one", "stat", "-c", "%u:%g", "/root-file", "/vol/file", "/tmp/in",
                    "/etc/hosts").stdout  # fmt: skip
        assert shown.split() == ["0:0", "77:78", "55:56", "0:0"]
        run("exec", "one", "sh", "-c", "echo 1.2.3.4 x >>/etc/hosts; ping -c 1 -W 5 127.0.0.1")
        assert run("exec", "-u", "77", "one", "id", "-u").stdout == "77\n"
        # What was written is an image with those owners.
        run("commit", "one", "kept")
        listing = run("run", "--rm", "--userns=host", "kept", "ls", "-ln", "/root-file", "/tmp/in")
        owners = [tuple(line.split()[2:4]) for line in listing.stdout.splitlines()]
        assert owners == [("0", "0"), ("55", "56")]
        assert "A /root-file" in run("diff", "one").stdout
        packed = remapped.run("sh", "-c", "docker export one | tar -tvf - root-file tmp/in").stdout
        assert "0/0" in packed.replace("root/root", "0/0")
        assert "55/56" in packed
    finally:
        run("rm", "-f", "-v", "one")
        run("volume", "rm", "-f", "vol")


def test_the_hosts_files_stay_the_hosts(remapped: Daemon, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    tmp_path.chmod(0o755)
    source = f"{tmp_path}:/data"
    done = remapped.docker("run", "--rm", "-v", source, "busybox", "sh", "-c",
                           "stat -c %u /data/secret; cat /data/secret; touch /data/new",
                           check=False)  # fmt: skip
    assert done.stdout == "65534\n"
    assert "ermission denied" in done.stderr
    os.chown(tmp_path, 1234, 1234)
    mapped = remapped.docker("run", "--rm", "-v", f"{source}:idmap=owner", "busybox", "sh", "-c",
                             "stat -c %u /data; touch /data/new")  # fmt: skip
    assert mapped.stdout == "0\n"
    assert (tmp_path / "new").stat().st_uid == 1234


def test_builds_run_remapped_and_make_usual_images(remapped: Daemon, tmp_path: Path) -> None:
    (tmp_path / "copied").write_text("x")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox\nCOPY --chown=7:8 copied /copied\n"
        "RUN cat /proc/self/uid_map && touch /made && chown 9:9 /made\n"
    )
    built = remapped.docker("build", "-t", "made", str(tmp_path)).stdout
    assert str(FIRST) in built
    shown = remapped.docker("run", "--rm", "made", "stat", "-c", "%u", "/copied", "/made").stdout
    assert shown.split() == ["7", "9"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--privileged", "privileged mode is incompatible with user namespaces."),
        ("--network=host", "cannot share the host's network namespace when user namespaces are"),
        ("--pid=host", "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)
def test_what_does_not_go_together(remapped: Daemon, option: str, message: str) -> None:
    refused = remapped.docker("run", "--rm", option, "busybox", "true", check=False)
    assert message in refused.stderr
    assert refused.returncode == 125
    done = remapped.docker("run", "--rm", "--userns=host", option, "busybox", "cat",
                           "/proc/self/uid_map")  # fmt: skip
    assert done.stdout.split() == ["0", "0", "4294967295"]


def test_namespaces_of_another_container(remapped: Daemon) -> None:
    run = remapped.docker
    run("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sh", "-c",
        "echo word >/dev/shm/file; sleep 600")  # fmt: skip
    try:
        done = run("run", "--rm", "--network", "container:donor", "--pid", "container:donor",
                   "--ipc", "container:donor", "busybox", "sh", "-c",
                   "cat /dev/shm/file; ps | grep -c '[s]leep 600'; ip -o a s eth0 | wc -l")  # fmt: skip
        assert done.stdout.split() == ["word", "1", "1"]
        run("run", "-d", "--name", "bare", "--userns=host", "busybox", "sleep", "600")
        refused = run("run", "--rm", "--network", "container:bare", "busybox", "true", check=False)
        assert "no user namespace" in refused.stderr
    finally:
        run("rm", "-f", "donor", "bare", check=False)


def test_a_container_outlives_the_daemon_remapped(remapped: Daemon) -> None:
    remapped.docker(
        "run", "-d", "--name", "stays", "--restart", "always", "busybox", "sleep", "600"
    )
    try:
        before = host_ids(remapped, "stays")
        remapped.kill9()
        remapped.start()
        assert host_ids(remapped, "stays") == before
        assert remapped.docker("exec", "stays", "id", "-u").stdout == "0\n"
        remapped.docker("restart", "-t", "0", "stays")
        assert host_ids(remapped, "stays") == before
    finally:
        remapped.docker("rm", "-f", "stays")


def test_one_container_alone_has_ids_of_its_own(daemon: Daemon, busybox: str) -> None:
    run = daemon.docker
    run("run", "-d", "--name", "first", "--security-opt", "userns=auto", busybox, "sleep", "600")
    daemon.tiffin("run", "-d", "--name", "second", "--userns", "auto:size=1000", busybox,
                  "sleep", "600")  # fmt: skip
    try:
        first, second = host_ids(daemon, "first"), host_ids(daemon, "second")
        assert first[0] != second[0]
        assert {first[0], second[0]}.isdisjoint({0})
        assert first[1].endswith(" 65536")
        assert second[1].endswith(" 1000")
        assert host_ids(daemon, "first") == first
        run("restart", "-t", "0", "first")
        assert host_ids(daemon, "first") == first
        plain = run("run", "--rm", busybox, "cat", "/proc/self/uid_map").stdout.split()
        assert plain == ["0", "0", "4294967295"]
        mode = json.loads(run("inspect", "second").stdout)[0]["HostConfig"]["UsernsMode"]
        assert mode == "auto:size=1000"
    finally:
        run("rm", "-f", "first", "second")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("keep", "invalid USER mode: keep"),
        ("auto:size=0", "cannot understand size=0"),
        ("auto:size=x", "size=x has no number"),
        ("auto:uidmapping=0:1:9,uidmapping=5:50:1", "mappings overlap"),
    ],
)
def test_words_that_mean_nothing(daemon: Daemon, busybox: str, mode: str, message: str) -> None:
    refused = daemon.docker(
        "create", "--security-opt", f"userns={mode}", busybox, "true", check=False
    )
    assert message in refused.stderr


def test_a_bind_has_the_callers_owner(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    script = "stat -c %u:%g /data; touch /data/$1; stat -c %u /data/$1"
    for name, options, shown in (
        ("root", [], "0:0 0"),
        ("user", ["-u", "999:998"], "999:998 999"),
    ):
        done = daemon.docker("run", "--rm", *options, "-v", f"{tmp_path}:/data:idmap=owner",
                             busybox, "sh", "-c", script, "-", name)  # fmt: skip
        assert done.stdout.split() == shown.split()
        assert (tmp_path / name).stat().st_uid == 1234
    mapped = "uids=1234-5-1;gids=1234-6-1"
    done = daemon.tiffin("run", "--rm", "--mount",
                         f"type=bind,src={tmp_path},dst=/data,bind-idmap={mapped}",
                         busybox, "stat", "-c", "%u:%g", "/data")  # fmt: skip
    assert done.stdout == "5:6\n"
    refused = daemon.docker("run", "--rm", "-v", f"{tmp_path}:/data:idmap", busybox, "true",
                            check=False)  # fmt: skip
    assert "idmap needs a container with a user namespace" in refused.stderr
