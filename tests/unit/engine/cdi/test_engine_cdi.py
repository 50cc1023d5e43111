"""Device descriptions: reading them, choosing among them, and what they change."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.types.resources import DeviceRequest
from tiffin.engine.cdi.catalogue import discover
from tiffin.engine.cdi.names import is_qualified
from tiffin.engine.cdi.requests import inject
from tiffin.engine.cdi.specification import load
from tiffin.errors import FailedPrecondition, InvalidArgument

YAML = """
cdiVersion: "0.6.0"
kind: vendor.com/net
containerEdits:
  env: [COMMON=1]
devices:
  - name: one
    containerEdits:
      env: ["CARD=one", "PATH=/vendor/bin"]
      deviceNodes:
        - path: /dev/vendor0
          hostPath: /dev/null
          permissions: rw
      mounts:
        - hostPath: /usr/lib/vendor
          containerPath: /opt/vendor/lib
          options: [ro, rbind]
      hooks:
        - hookName: createContainer
          path: /usr/bin/vendor-hook
          args: [vendor-hook, link]
          timeout: 3
      additionalGids: [0, 44]
  - name: two
    containerEdits:
      deviceNodes:
        - {path: /dev/vendor1, type: c, major: 240, minor: 1, fileMode: 0o660, uid: 7}
"""


def bundle() -> dict[str, Any]:
    return {
        "process": {"env": ["PATH=/bin", "A=b"], "user": {"uid": 5, "gid": 0}},
        "mounts": [{"destination": "/proc"}, {"destination": "/opt/vendor"}],
        "linux": {"resources": {"devices": [{"allow": False, "access": "rwm"}]}},
    }


def gpus(directory: Path, *names: str, kind: str = "nvidia.com/gpu") -> None:
    (directory / f"{kind.replace('/', '-')}.json").write_text(
        json.dumps(
            {
                "cdiVersion": "0.5.0",
                "kind": kind,
                "devices": [
                    {"name": name, "containerEdits": {"env": [f"GPU{name.upper()}=1"]}}
                    for name in names
                ],
            }
        )
    )


def test_all_edits_reach_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "vendor.yaml").write_text(YAML)
    config = bundle()
    names = ["vendor.com/net=one", "vendor.com/net=two"]
    inject(config, [DeviceRequest(driver="cdi", device_ids=names)], [str(tmp_path)])

    assert config["process"]["env"] == ["PATH=/vendor/bin", "A=b", "COMMON=1", "CARD=one"]
    assert config["process"]["user"] == {"uid": 5, "gid": 0, "additionalGids": [44]}
    first, second = config["linux"]["devices"]
    mode = stat.S_IMODE(Path("/dev/null").stat().st_mode)
    assert first == {
        "path": "/dev/vendor0", "type": "c", "major": 1, "minor": 3, "fileMode": mode, "uid": 5,
    }  # fmt: skip
    assert (second["major"], second["minor"], second["uid"]) == (240, 1, 7)
    assert config["linux"]["resources"]["devices"][1:] == [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "c", "major": 240, "minor": 1, "access": "rwm"},
    ]
    assert [mount["destination"] for mount in config["mounts"]] == [
        "/proc", "/opt/vendor", "/opt/vendor/lib",
    ]  # fmt: skip
    assert config["hooks"] == {
        "createContainer": [
            {"path": "/usr/bin/vendor-hook", "args": ["vendor-hook", "link"], "timeout": 3}
        ]
    }


def test_later_directories_win_and_namesakes_in_one_do_not_count(tmp_path: Path) -> None:
    vendor, local = tmp_path / "etc", tmp_path / "run"
    for directory, value in ((vendor, "old"), (local, "new")):
        directory.mkdir()
        (directory / "a.yaml").write_text(YAML.replace("COMMON=1", f"COMMON={value}"))
    found = discover([str(vendor), str(local), str(tmp_path / "missing")])
    assert found.devices["vendor.com/net=one"].common.env == ("COMMON=new",)
    assert found.errors == []

    (local / "b.yaml").write_text(YAML)
    found = discover([str(vendor), str(local)])
    assert found.devices == {}
    assert found.errors[0] == f"conflicting device 'vendor.com/net=one' in {local}"


@pytest.mark.parametrize(
    ("request_", "variables"),
    [
        (DeviceRequest(count=-1, capabilities=[["gpu"]]), ["GPUALL=1"]),
        (DeviceRequest(count=2, capabilities=[["gpu"]]), ["GPU0=1", "GPU1=1"]),
        (DeviceRequest(driver="nvidia", device_ids=["1"]), ["GPU1=1"]),
        (DeviceRequest(driver="cdi", device_ids=["nvidia.com/gpu=0"]), ["GPU0=1"]),
    ],
)
def test_gpus_by_number_name_and_vendor(
    tmp_path: Path, request_: DeviceRequest, variables: list[str]
) -> None:
    gpus(tmp_path, "0", "1", "10", "all")
    config = bundle()
    inject(config, [request_], [str(tmp_path)])
    assert config["process"]["env"][2:] == variables


def test_gpus_without_one_for_all(tmp_path: Path) -> None:
    gpus(tmp_path, "0", "1", kind="amd.com/gpu")
    config = bundle()
    inject(config, [DeviceRequest(count=-1, capabilities=[["gpu"]])], [str(tmp_path)])
    assert config["process"]["env"][2:] == ["GPU0=1", "GPU1=1"]


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (
            DeviceRequest(count=-1, capabilities=[["gpu"], ["tpu", "fast"]]),
            FailedPrecondition,
            'could not select device driver "" with capabilities: [[gpu] [tpu fast]]',
        ),
        (
            DeviceRequest(driver="cdi", device_ids=["vendor.com/net=nine"]),
            FailedPrecondition,
            "unresolvable CDI devices vendor.com/net=nine",
        ),
        (DeviceRequest(driver="cdi", count=1), InvalidArgument, "unexpected count"),
        (DeviceRequest(driver="cdi", options={"a": "b"}), InvalidArgument, "unexpected options"),
        (DeviceRequest(driver="odd"), FailedPrecondition, 'driver "odd" with capabilities: []'),
    ],
)
def test_what_there_is_not(
    tmp_path: Path, request_: DeviceRequest, error: type[Exception], words: str
) -> None:
    (tmp_path / "vendor.yaml").write_text(YAML)
    config = bundle()
    with pytest.raises(error) as caught:
        inject(config, [request_], [str(tmp_path)])
    assert words in str(caught.value)
    assert config == bundle()


def test_too_many_gpus(tmp_path: Path) -> None:
    gpus(tmp_path, "0")
    with pytest.raises(FailedPrecondition, match="2 GPUs were asked for, and this machine has 1"):
        inject(bundle(), [DeviceRequest(count=2, capabilities=[["gpu"]])], [str(tmp_path)])


def test_switched_off(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match='driver "cdi" with capabilities: '):
        inject(bundle(), [DeviceRequest(driver="cdi", device_ids=["a.b/c=d"])], [])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"0.6.0"', '"9.0.0"', "invalid version '9.0.0'"),
        ("vendor.com/net", "vendor", "invalid kind 'vendor'"),
        ("name: two", "name: one", "multiple devices are named 'one'"),
        ("name: two", "name: '-'", "invalid device name '-'"),
        ("COMMON=1", "COMMON", "invalid environment variable 'COMMON'"),
        ("createContainer", "sometimes", "invalid hook 'sometimes'"),
        ("permissions: rw", "permissions: rwx", "invalid device node '/dev/vendor0'"),
        ("timeout: 3", "patience: 3", "patience"),
        ("minor: 1", "minor: one", "minor"),
        ("devices:", "devices: [", "line"),
        ("/dev/null", "/dev/none", ""),
    ],
)
def test_a_bad_file_is_named_and_the_rest_goes_on(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    gpus(tmp_path, "0")
    path = tmp_path / "vendor.yaml"
    path.write_text(YAML.replace(old, new))
    found = discover([str(tmp_path)])
    assert "nvidia.com/gpu=0" in found.devices
    if words:
        assert str(path) in found.errors[0]
        assert words in found.errors[0]
    else:
        with pytest.raises(FailedPrecondition, match="failed to stat CDI host device '/dev/none'"):
            inject(
                bundle(),
                [DeviceRequest(driver="cdi", device_ids=["vendor.com/net=one"])],
                [str(tmp_path)],
            )


@given(st.binary(max_size=200), st.sampled_from([".json", ".yaml"]))
def test_no_bytes_break_the_reader(content: bytes, suffix: str) -> None:
    class Held(type(Path())):  # type: ignore[misc]
        def open(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
            import io

            return io.BytesIO(content)

    with pytest.raises(InvalidArgument):
        load(Held(f"/x{suffix}"))


@given(st.text())
def test_names(text: str) -> None:
    if is_qualified(text):
        kind, _, name = text.partition("=")
        assert kind.count("/") == 1
        assert name
