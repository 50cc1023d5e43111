"""What images and processes have tried with other runtimes, by the number of the report."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.root.runtime.runtime_rig import Rig, output, run_in
from tests.root.runtime.test_runtime_life import TERMINAL, read_terminal
from tests.root.runtime.test_runtime_user_namespace import remapped, upper

from tiffin.errors import FailedPrecondition

pytestmark = pytest.mark.root


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that must stay as it is."""
    place = tmp_path / "host"
    place.mkdir()
    (place / "file").write_text("untouched")
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    yield place
    assert [path.name for path in place.iterdir()] == ["file"]
    assert (place / "file").read_text() == "untouched"
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def bind(document: dict[str, Any], source: Path, target: str, *words: str) -> None:
    document["mounts"].append(
        {"destination": target, "type": "bind", "source": str(source), "options": ["bind", *words]}
    )


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_kernel_file_systems_go_where_they_are_said_to(rig: Rig, host: Path, name: str) -> None:
    # CVE-2019-19921, CVE-2023-27561: what is masked later would be somewhere else.
    for target in (str(host), "/tmp", "../../../../tmp"):
        document = rig.config("true")
        (upper(rig) / name).symlink_to(target)
        with pytest.raises(FailedPrecondition, match=r"symbolic links|ordinary directory"):
            rig.run(document)


def test_nothing_is_mounted_into_proc_by_a_link_of_the_image(rig: Rig, host: Path) -> None:
    for link in ("/proc", "/proc/self/attr", "proc/sys/../sys"):
        for kind in ("bind", "tmpfs"):
            document = rig.config("true")
            (upper(rig) / "data").symlink_to(link)
            if kind == "bind":
                bind(document, host, "/data")
            else:
                document["mounts"].append(
                    {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": []}
                )
            with pytest.raises(FailedPrecondition, match="inside /proc"):
                rig.run(document)


def test_mount_points_behind_links_lie_inside(rig: Rig, host: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "word").write_text("inside")
    document = rig.config("sh", "-c", "cat /data/word; ls /")
    (upper(rig) / "data").symlink_to(f"../../../../../..{host}/made")
    bind(document, shown, "/data")
    text, _ = rig.run(document)
    assert text.startswith("inside")
    assert (upper(rig) / str(host / "made").lstrip("/")).is_dir()


def test_a_false_null_device_masks_nothing_else(rig: Rig, host: Path, tmp_path: Path) -> None:
    # CVE-2025-31133: /dev is another container's, whose /dev/null leads to a file of the host.
    evil = tmp_path / "dev"
    evil.mkdir()
    (evil / "null").symlink_to("/proc/sys/kernel/core_pattern")
    for name in ("pts", "shm", "mqueue"):
        (evil / name).mkdir()
    script = "head -c 5 /proc/keys | wc -c; echo x >/proc/keys; cat /proc/sys/kernel/core_pattern"
    document = rig.config("sh", "-c", script)
    document["mounts"] = [
        item for item in document["mounts"] if not item["destination"].startswith("/dev")
    ]
    bind(document, evil, "/dev")
    text, _ = rig.run(document)
    assert text.splitlines()[0] == "0"
    assert "core" in text.splitlines()[-1] or "|" in text.splitlines()[-1]


def test_a_console_that_is_a_link_stays_a_console(rig: Rig, host: Path, tmp_path: Path) -> None:
    # CVE-2025-52565: the terminal would lie over a file of /proc, which then is not masked.
    evil = tmp_path / "dev"
    for name in ("pts", "shm"):
        (evil / name).mkdir(parents=True)
    (evil / "console").symlink_to("/proc/version")
    document = rig.config("sh", "-c", "stat -c %F /proc/version")
    document["mounts"] = [
        item for item in document["mounts"]
        if not item["destination"].startswith("/dev") or item["destination"] == "/dev/pts"
    ]  # fmt: skip
    document["mounts"].insert(
        1, {"destination": "/dev", "type": "bind", "source": str(evil), "options": ["bind"]}
    )
    document["process"]["terminal"] = True
    with pytest.raises(FailedPrecondition, match=r"symbolic links.*dev/console"):
        with rig.task(document, TERMINAL) as task:
            read_terminal(task.init.console)


def test_paths_that_are_masked_are_those_of_the_container(rig: Rig, host: Path) -> None:
    document = rig.config("cat", "/link/file")
    (upper(rig) / "link").symlink_to(str(host))
    document["linux"]["maskedPaths"] = ["/link", "/link/file", "/etc/passwd"]
    document["linux"]["readonlyPaths"] = ["/link", "/etc"]
    rig.run(document)


def test_a_working_directory_does_not_lead_out(rig: Rig, host: Path) -> None:
    # CVE-2024-21626, and a link to it.
    for path in ("/proc/self/fd/7", "/proc/1/cwd/../../..", "/proc/self/root/..", "/way"):
        document = rig.config("cat", f"../../../..{host}/file")
        (upper(rig) / "way").symlink_to("/proc/self/fd/7")
        document["process"]["cwd"] = path
        try:
            text, ended = rig.run(document)
        except FailedPrecondition:
            continue
        assert "untouched" not in text, path
        assert ended.status != 0


def test_an_exec_trusts_nothing_in_the_container(rig: Rig, host: Path) -> None:
    prepare = (
        "rm -f /dev/ptmx /dev/null /etc/passwd; ln -s /proc/sys/kernel/core_pattern /dev/null;"
        "ln -s /proc/self/fd/7 /cwd; ln -s /dev/zero /etc/passwd;"
        "echo ready; sleep 60"
    )
    with output() as (stdio, read), rig.task(rig.config("sh", "-c", prepare), stdio) as task:
        assert os.read(_reading_end(read), 6) == b"ready\n"
        text, ended = run_in(task, "echo", "fine")
        assert (text, ended.status) == ("fine\n", 0)
        with pytest.raises(FailedPrecondition):
            run_in(task, "ls", cwd="/cwd")


def _reading_end(read: Any) -> int:  # noqa: ANN401
    end = read.__closure__[0].cell_contents
    assert isinstance(end, int)
    return end


def test_a_program_that_is_the_runtime_itself(rig: Rig, host: Path) -> None:
    # CVE-2019-5736, here without the sealed copy: opened for writing it must not be.
    document = rig.config("sh", "-c", "echo '#!/proc/self/exe' >/bin/x; chmod +x /bin/x; /bin/x")
    text, ended = rig.run(document)
    assert ended.status != 0
    assert "Python" not in text


def test_root_of_a_user_namespace_keeps_to_its_ids(rig: Rig, host: Path) -> None:
    host.chmod(0o755)
    (host / "file").chmod(0o644)
    script = (
        "chown 0:0 /data; chmod 777 /data; chmod 4777 /data/file; rm -f /data/file; echo x >/data/file;"
        "chown 65536 /tmp/mine; mknod /tmp/null c 1 3;"
        "echo 0 0 1 >/proc/self/uid_map; echo deny >/proc/self/setgroups;"
        "mkdir /m; mount --bind /data /m; echo x >/m/file; mount -o remount,rw /proc/sys; true"
    )
    document = remapped(rig, "sh", "-c", script)
    bind(document, host, "/data")
    for name in ("bounding", "effective", "permitted"):
        capabilities = document["process"]["capabilities"]
        capabilities[name] = [*capabilities[name], "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"]
    rig.run(document)
    assert (host.stat().st_uid, host.stat().st_mode & 0o7777) == (0, 0o755)
    assert (host / "file").stat().st_mode & 0o7777 == 0o644


def test_what_is_locked_in_a_user_namespace_stays_locked(rig: Rig, tmp_path: Path) -> None:
    # Taking a mask away needs the mount to be the container's own.
    source = tmp_path / "ro"
    source.mkdir()
    shutil.copy("/etc/hostname", source / "file") if Path("/etc/hostname").exists() else None
    script = "mount -o remount,bind,rw /data; touch /data/new; umount /data; ls /data"
    document = remapped(rig, "sh", "-c", script)
    bind(document, source, "/data", "ro")
    rig.run(document)
    assert not (source / "new").exists()


def test_the_annotation_for_the_root_is_ours_alone(rig: Rig, host: Path) -> None:
    document = rig.config("true")
    document["annotations"]["org.tiffin.rootfs"] = json.dumps({"fstype": "bind"})
    with pytest.raises(Exception, match="must be an array"):
        rig.run(document)
