"""What the runtime keeps of its containers, below `--root`.

    <root>/<id>/state.json    Record
    <root>/<id>/config.json   the bundle's, as it was at `create`, with the root as an absolute path
    <root>/<id>/start.sock    where the container waits for `start`; there as long as it does
    <root>/.filters/          compiled seccomp programs

All of it belongs into a tmpfs: none of it outlives a boot.
"""

import json
import os
import re
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tiffin.errors import AlreadyExists, InvalidArgument, NotFound

JsonObject = dict[str, Any]

GATE = "start.sock"
FILTERS = ".filters"
_ID = re.compile(r"[\w+.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Record:
    """A container as `create` has left it.

    `start_time` (clock ticks since boot) tells its first process from another of that number;
    `created` is in RFC 3339.
    """

    id: str
    pid: int
    start_time: int
    bundle: str
    rootfs: str
    cgroup: str
    created: str
    owner: int


@dataclass(frozen=True, slots=True)
class Store:
    """The directory of all containers."""

    root: Path

    def directory(self, container_id: str) -> Path:
        """Return the container's directory; InvalidArgument."""
        if not _ID.fullmatch(container_id) or container_id.startswith("."):
            raise InvalidArgument(f"invalid container ID format: {container_id!r}")
        return self.root / container_id

    def reserve(self, container_id: str) -> Path:
        """Make the container's directory; AlreadyExists."""
        directory = self.directory(container_id)
        self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
        try:
            directory.mkdir(mode=0o711)
        except FileExistsError:
            raise AlreadyExists("container with given ID already exists") from None
        return directory

    def save(self, record: Record) -> None:
        """Write the record; from then on the container exists."""
        directory = self.directory(record.id)
        fresh = directory / "state.json.new"
        fresh.write_text(json.dumps(asdict(record)))
        fresh.rename(directory / "state.json")

    def load(self, container_id: str) -> Record:
        """Return the record; NotFound."""
        directory = self.directory(container_id)
        try:
            return Record(**json.loads((directory / "state.json").read_bytes()))
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("container does not exist") from None

    def config(self, container_id: str) -> JsonObject:
        """Return the configuration that the container was created with."""
        document = json.loads((self.directory(container_id) / "config.json").read_bytes())
        assert isinstance(document, dict)
        return document

    def remove(self, container_id: str) -> None:
        """Forget the container; idempotent."""
        directory = self.directory(container_id)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return
        for name in names:
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()

    def ids(self) -> list[str]:
        """Return the containers, the half-made not among them."""
        try:
            names = sorted(os.listdir(self.root))
        except FileNotFoundError:
            return []
        return [name for name in names if (self.root / name / "state.json").exists()]


def is_waiting(directory: Path) -> bool:
    """Tell whether the container waits for `start`."""
    try:
        return stat.S_ISSOCK((directory / GATE).lstat().st_mode)
    except FileNotFoundError:
        return False
