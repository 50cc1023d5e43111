"""Files of containers: `cp` by Docker's rules in every state, `diff`, `export`, `commit`."""

import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

COPIES = (
    ("file {c}:/tmp/a", "tmp/a"),
    ("file {c}:/tmp/", "tmp/file"),
    ("tree {c}:/tmp/new", "tmp/new/sub/x"),
    ("tree {c}:/tmp", "tmp/tree/sub/x"),
    ("tree/. {c}:/tmp", "tmp/sub/x"),
    ("tree/ {c}:/var", "var/tree/sub/x"),
    ("link {c}:/tmp/kept", "tmp/kept -> file"),
    ("-L link {c}:/tmp/followed", "tmp/followed"),
    ("-L dir-link {c}:/tmp/followed-dir", "tmp/followed-dir/sub/x"),
    ("-q file {c}:/root/to-dir-link/", "tmp/file"),
    ("-a file {c}:/tmp/owned", "tmp/owned 7:8"),
    ("file {c}:/tmp/plain", "tmp/plain 1234:1235"),
)
"""Arguments of `cp`, and what is there then: a path, its target or its owner."""

REFUSED = (
    ("file {c}:/no/such", "Could not find the file /no in container {c}"),
    ("file {c}:/no/such/", "no such directory"),
    ("tree {c}:/etc/passwd", "cannot copy directory"),
    ("file {c}:/etc/passwd/", "no such directory"),
    ("{c}:/nope .", "Could not find the file /nope in container {c}"),
    ("{c}:/etc/passwd/ .", "not a directory"),
    ("{c}:/etc {files}/no/such", "does not exist"),
    ("{c}:/etc {files}/file", "cannot copy directory"),
    ("{c}:/ {c}:/tmp", "copying between containers is not supported"),
    ("nobody:/x .", "No such container: nobody"),
    ("file {c}:/bound/x", "mounted volume is marked read-only"),
)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree to copy from, which is the working directory."""
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "x").write_text("x")
    (tmp_path / "file").write_text("content")
    os.chown(tmp_path / "file", 1234, 1235)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dir-link").symlink_to("tree")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["created", "running", "paused"])
def container(
    daemon: Daemon, busybox: str, files: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Name of a container in one of the states."""
    name = f"copy-{request.param}"
    if not daemon.docker("images", "-q", "copies").stdout:
        daemon.docker(
            "run", "--name", "copy-maker", busybox, "ln", "-s", "/tmp", "/root/to-dir-link"
        )
        daemon.docker("commit", "-c", 'CMD ["sleep", "600"]', "copy-maker", "copies")
        daemon.docker("rm", "copy-maker")
    daemon.docker("create", "--name", name, "--user", "7:8", "--stop-timeout", "0",
                  "-v", f"{files}:/bound:ro", "-v", "/vol", "copies")  # fmt: skip
    if request.param != "created":
        daemon.docker("start", name)
    if request.param == "paused":
        daemon.docker("pause", name)
    yield name
    daemon.docker("rm", "-f", "-v", name)


def test_copies_by_dockers_rules(daemon: Daemon, container: str, files: Path) -> None:
    for arguments, there in COPIES:
        daemon.docker("cp", *arguments.format(c=container).split())
        path, _, rest = there.partition(" ")
        entry = _entries(daemon, container, path)[0]
        if rest.startswith("->"):
            assert entry.linkname == rest[3:], arguments
        elif rest:
            assert f"{entry.uid}:{entry.gid}" == rest, arguments
        else:
            assert entry.isfile(), arguments
    for arguments, words in REFUSED:
        filled = arguments.format(c=container, files=files)
        done = daemon.docker("cp", *filled.split(), check=False)
        assert done.returncode != 0, arguments
        assert words.format(c=container) in done.stderr, arguments
    daemon.docker("cp", "file", f"{container}:/vol/in-volume")
    daemon.docker("cp", f"{container}:/vol/.", "back")
    assert (files / "back" / "in-volume").read_text() == "content"
    everything = {entry.name for entry in _entries(daemon, container, "")}
    assert {"/bin/sh", "/tmp/a"} <= everything
    assert not {name for name in everything if re.match("/(proc|sys)/.", name)}
    assert [entry.name for entry in _entries(daemon, container, "bound/tree/.")] == [
        "./", "./sub/", "./sub/x"]  # fmt: skip


def _entries(daemon: Daemon, container: str, path: str) -> list[tarfile.TarInfo]:
    """Return what `cp` of a path to standard output holds."""
    done = subprocess.run(
        ["docker", "cp", f"{container}:/{path}", "-"],
        capture_output=True, env=daemon.environment, timeout=60, check=True,
    )  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = archive.getmembers()
        for member in members:
            member.name += "/" if member.isdir() else ""
        return members


def test_what_the_daemon_mounts_is_copied_also_afterwards(
    daemon: Daemon, busybox: str, files: Path
) -> None:
    daemon.docker("run", "--name", "ended", "--hostname", "here", "--tmpfs", "/t", busybox,
                  "sh", "-c", "> /made; rm /etc/group; echo >> /etc/passwd; > /t/x")  # fmt: skip
    assert daemon.docker("cp", "ended:/etc/hostname", "-").stdout.count("here\n") == 1
    told = daemon.docker("diff", "ended").stdout.splitlines()
    assert sorted(told) == ["A /made", "C /etc", "C /etc/passwd", "D /etc/group"]
    archive = files / "exported.tar"
    daemon.docker("export", "-o", str(archive), "ended")
    with tarfile.open(archive) as exported:
        names = exported.getnames()
        assert ("made" in names, "etc/group" in names, "t/x" in names) == (True, False, False)
    daemon.docker("rm", "ended")


CHANGES = (
    "CMD [\"a\", \"b\"]", "ENTRYPOINT [\"e\"]", "ENV ONE=1 TWO=2", "ENV THREE three", "EXPOSE 80 53/udp",
    "LABEL l=v", "ONBUILD RUN later", "ONBUILD /unknown --to us", "STOPSIGNAL SIGUSR1", "USER 5:6",
    "VOLUME /data", "WORKDIR /w", "WORKDIR sub", 'HEALTHCHECK --interval=3s CMD check',
)  # fmt: skip


def test_commit_takes_every_instruction(daemon: Daemon, busybox: str) -> None:
    daemon.docker("create", "--name", "to-commit", "--env", "ZERO=0", busybox, "true")
    changes = [word for change in CHANGES for word in ("--change", change)]
    for run in (daemon.docker, daemon.tiffin):
        run("commit", *changes, "-a", "An Author <a@b>", "-m", "a message", "--pause=false",
            "to-commit", "committed:1")  # fmt: skip
        image = json.loads(daemon.docker("inspect", "committed:1").stdout)[0]
        assert (image["Author"], image["Comment"]) == ("An Author <a@b>", "a message")
        config = image["Config"]
        assert set(config["Env"]) == {"ZERO=0", "ONE=1", "TWO=2", "THREE=three"}
        expected = {
            "Cmd": ["a", "b"], "Entrypoint": ["e"], "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Labels": {"l": "v"}, "OnBuild": ["RUN later", "/unknown --to us"],
            "StopSignal": "SIGUSR1", "User": "5:6", "Volumes": {"/data": {}},
            "WorkingDir": "/w/sub",
            "Healthcheck": {"Test": ["CMD-SHELL", "check"], "Interval": 3 * 10**9},
        }  # fmt: skip
        assert {name: config[name] for name in expected} == expected
        daemon.docker("rmi", "committed:1")
    for word in ("COPY a b", "SHELL []", "FROM x"):
        refused = daemon.docker("commit", "-c", word, "to-commit", check=False)
        assert f"{word.split()[0]} is not a valid change command" in refused.stderr
    daemon.docker("rm", "to-commit")
