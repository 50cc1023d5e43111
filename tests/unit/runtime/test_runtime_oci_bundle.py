"""Bundles as other runtimes get them."""

import json
from pathlib import Path
from typing import Any

from tiffin.runtime import config, oci_bundle
from tiffin.runtime.scheduling import SetAffinity, affinity


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    rootfs = [{"fstype": "bind", "source": "/r", "options": ["rbind"], "target": ""}]
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "annotations": {config.ROOTFS_ANNOTATION: json.dumps(rootfs), "kept": "yes"},
        "process": {"args": ["true"]},
        "linux": {"namespaces": [{"type": "mount"}]},
        **changes,
    }


def rewrite(place: Path, found: dict[str, Any]) -> tuple[dict[str, Any], oci_bundle.ForeignBundle]:
    settings = config.parse(found, place)
    bundle = oci_bundle.write(found, settings, place / "oci", lambda _: None)
    return json.loads((place / "oci/config.json").read_text()), bundle


def test_our_extensions_are_taken_out(tmp_path: Path) -> None:
    words = ["rbind", "ro", "x-subpath=a/b"]
    mount = {"destination": "/d", "type": "bind", "source": "/vol", "options": words}
    written, bundle = rewrite(tmp_path, document(mounts=[mount]))
    assert written["annotations"] == {"kept": "yes"}
    assert (written["root"]["path"], written["ociVersion"]) == ("rootfs", "1.0.2")
    source = str(tmp_path / "oci/sources/0")
    assert written["mounts"] == [{**mount, "source": source, "options": ["rbind", "ro"]}]
    ((path, item),) = bundle.sources
    assert (str(path), item.options) == (source, ("rbind", "x-subpath=a/b"))


def test_a_root_directory_of_the_bundle_stays(tmp_path: Path) -> None:
    written, _ = rewrite(tmp_path, document(annotations={}, root={"path": "/some/root"}))
    assert written["root"]["path"] == "/some/root"


def test_limits_that_are_granted_stay() -> None:
    limit = {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}
    process = {"args": ["true"], "rlimits": [limit]}
    assert oci_bundle.granted(process, lambda _: None) == process


def test_lists_of_processors() -> None:
    found = affinity("0-2,7", "x")
    assert isinstance(found, SetAffinity)
    assert found.cpus == {0, 1, 2, 7}
