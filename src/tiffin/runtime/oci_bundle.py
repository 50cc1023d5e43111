"""A bundle of ours, rewritten for an OCI runtime that knows nothing of our extensions.

Ours (the root file system as an annotation, paths within a bind's source) are mounted for it in the
namespace in which it makes the container, so that they are seen nowhere else.
"""

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tiffin.linux import capabilities, mounts, rlimits
from tiffin.linux.rlimits import Rlimit
from tiffin.runtime.config import ROOTFS_ANNOTATION, Config
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.operation import Place
from tiffin.runtime.root_operations import MountRoot, PrivateParent, Separate
from tiffin.spec.mount import Mount

Warn = Callable[[str], None]

OCI_VERSION = "1.0.2"
"""crun before 1.9 refuses any but 1.0; what is newer in a bundle is additions that it ignores."""


@dataclass(frozen=True, slots=True)
class ForeignBundle:
    """The bundle in `directory`; `sources` are made (in order) for binds of a path in a source."""

    directory: Path
    config: Config
    sources: tuple[tuple[Path, Mount], ...]

    def prepare(self) -> None:
        """Mount what the runtime is to find; called in a mount namespace of its own. OSError."""
        place = Place(_ignore)
        root = str(self.directory / "rootfs")
        if "shared" in self.config.root_propagation:
            PrivateParent(root).execute(place)
        else:
            Separate().execute(place)
        if self.config.rootfs:
            MountRoot(root, self.config.rootfs).execute(place)
        for path, item in self.sources:
            _attach(path, item)


def write(document: JsonObject, config: Config, directory: Path, warn: Warn) -> ForeignBundle:
    """Write the bundle for `config`, which `document` is; what the host does not grant goes."""
    (directory / "rootfs").mkdir(parents=True, exist_ok=True)
    sources: list[tuple[Path, Mount]] = []
    items = [_mount(item, directory, sources) for item in document.get("mounts") or []]
    annotations = dict(document.get("annotations") or {})
    annotations.pop(ROOTFS_ANNOTATION, None)
    root = dict(document.get("root") or {})
    root["path"] = "rootfs" if config.rootfs else config.root
    rewritten = {
        **document,
        "ociVersion": OCI_VERSION,
        "root": root,
        "mounts": items,
        "annotations": annotations,
        "process": granted(document["process"], warn),
    }
    (directory / "config.json").write_text(json.dumps(rewritten))
    return ForeignBundle(directory, config, tuple(sources))


def granted(process: JsonObject, warn: Warn) -> JsonObject:
    """Return the process with limits lowered to what a child of this process may set.

    Other runtimes fail where ours warns.
    """
    process = dict(process)
    limits = []
    for item in process.get("rlimits") or []:
        asked = Rlimit(item["type"], item["soft"], item["hard"])
        possible = rlimits.granted(asked)
        if possible != asked:
            warn(rlimits.foretell(asked))
        limits.append({"type": asked.name, "soft": possible.soft, "hard": possible.hard})
    if limits:
        process["rlimits"] = limits
    score = process.get("oomScoreAdj")
    if score is not None and not _may_set_oom_score(score):
        del process["oomScoreAdj"]
        if score:
            warn(f"oom_score_adj {score}: the host does not grant it")
    return process


def _mount(item: JsonObject, directory: Path, sources: list[tuple[Path, Mount]]) -> JsonObject:
    words = tuple(item.get("options") or ())
    if not any(word.startswith(f"{mounts.SUBPATH}=") for word in words):
        return item
    path = directory / "sources" / str(len(sources))
    # Here only what is seen at the place; its attributes are the runtime's business.
    inner = tuple(word for word in words if word in ("bind", "rbind") or "=" in word)
    sources.append((path, Mount("bind", item["source"], inner)))
    left = [word for word in words if not word.startswith(f"{mounts.SUBPATH}=")]
    return {**item, "source": str(path), "options": left}


def _attach(path: Path, item: Mount) -> None:
    fd = mounts.create(item)
    path.parent.mkdir(exist_ok=True)
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        path.mkdir(exist_ok=True)
    else:
        path.touch()
    at = os.open(path, os.O_PATH | os.O_CLOEXEC)
    mounts.attach(fd, at, str(path))
    os.close(at)
    os.close(fd)


def _may_set_oom_score(score: int) -> bool:
    if capabilities.held() & capabilities.mask(["CAP_SYS_RESOURCE"]):
        return True
    with suppress(OSError, ValueError), open("/proc/self/oom_score_adj") as file:
        return score >= int(file.read())
    return False


def _ignore(_: str) -> None:
    return
