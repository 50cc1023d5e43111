"""AppArmor profiles, by the files that the kernel would show."""

from pathlib import Path

import pytest

from tiffin.engine.bundle.labels import apparmor_profile, has_apparmor


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    (tmp_path / "module/apparmor/parameters").mkdir(parents=True)
    (tmp_path / "module/apparmor/parameters/enabled").write_text("Y\n")
    (tmp_path / "kernel/security/apparmor").mkdir(parents=True)
    (tmp_path / "kernel/security/apparmor/profiles").write_text("snap (enforce)\nmine (complain)\n")
    return tmp_path


def test_without_apparmor_nothing_is_asked_for(tmp_path: Path) -> None:
    assert not has_apparmor(tmp_path)
    assert apparmor_profile("mine", privileged=False, sysfs=tmp_path) == ""


def test_profiles(sysfs: Path) -> None:
    assert apparmor_profile("mine", privileged=True, sysfs=sysfs) == "mine"
    assert apparmor_profile("", privileged=True, sysfs=sysfs) == "unconfined"
    assert apparmor_profile("", privileged=False, sysfs=sysfs) == ""
    with (sysfs / "kernel/security/apparmor/profiles").open("a") as file:
        file.write("docker-default (enforce)\n")
    assert apparmor_profile("", privileged=False, sysfs=sysfs) == "docker-default"
