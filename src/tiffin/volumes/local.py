"""Volumes on local disk, or wherever mount options lead: Docker's driver `local`.

```
<root>/<volume id>/data     what containers mount, unless `device` names something else
```
Options are Docker's: `type`, `device` and `o` as for mount(8), e.g. `type=none,o=bind,device=/srv`,
`type=tmpfs,device=tmpfs,o=size=64m`, `type=nfs,device=:/export,o=addr=10.0.0.1`. Names play no part
on disk.
"""

import ipaddress
import os
import socket
from collections.abc import Mapping
from pathlib import Path

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.fs.rooted import remove_tree
from tiffin.fs.usage import measure
from tiffin.spec.mount import Mount
from tiffin.volumes.driver import VolumeSpec

_REQUIRED = {"device": ("type",), "type": ("device",), "o": ("device", "type"), "size": ()}
_REMOTE = ("nfs", "nfs4", "cifs")


class LocalVolumes:
    """The driver; `root` is created."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._root = root.absolute()

    @property
    def name(self) -> str:
        """Driver name."""
        return "local"

    def create(self, volume: VolumeSpec) -> None:
        """Make the directory; InvalidArgument for unknown or incomplete options."""
        check_options(volume.options)
        data = self._data(volume)
        data.mkdir(parents=True, exist_ok=True)
        data.parent.chmod(0o711)
        data.chmod(0o755)

    def mountpoint(self, volume: VolumeSpec) -> str:
        """Return the volume's directory."""
        return str(self._data(volume))

    def mounts(self, volume: VolumeSpec) -> tuple[Mount, ...]:
        """Return what a container must mount; FailedPrecondition if the data is missing."""
        options = volume.options
        if not options.get("device"):
            data = self._data(volume)
            if not data.is_dir():
                raise FailedPrecondition(
                    f"volume {volume.name!r} has lost its data directory {data}"
                )
            return (Mount("bind", str(data), ("rbind",)),)
        words = tuple(word for word in options.get("o", "").split(",") if word)
        fstype = options["type"]
        if {"bind", "rbind"} & set(words):
            fstype = "bind"
        elif fstype in _REMOTE:
            words = tuple(_with_address(word, volume.name) for word in words)
        return (Mount(fstype, options["device"], words),)

    def remove(self, volume: VolumeSpec) -> None:
        """Delete the data of a volume; nothing if there is none."""
        directory = self._data(volume).parent
        if directory.exists():
            remove_tree(directory)

    def usage(self, volume: VolumeSpec) -> int:
        """Return bytes on disk, or -1 for what lies elsewhere."""
        if volume.options.get("device"):
            return -1
        try:
            return measure(self._data(volume))[0]
        except FileNotFoundError:
            return 0

    def recover(self, known_ids: set[str]) -> list[str]:
        """Return the ids of directories that hold data of no volume; empty ones are removed."""
        strays = []
        for path in self._root.iterdir():
            if path.name in known_ids:
                continue
            if any(names or files for _, names, files in os.walk(path / "data")):
                strays.append(path.name)
            else:
                remove_tree(path)
        return strays

    def _data(self, volume: VolumeSpec) -> Path:
        return self._root / volume.id / "data"


def check_options(options: Mapping[str, str]) -> None:
    """Raise InvalidArgument, in Docker's words, for options that make no volume."""
    for option in options:
        if option not in _REQUIRED:
            raise InvalidArgument(f'invalid option: "{option}"')
    for option, required in _REQUIRED.items():
        for other in required:
            if option in options and other not in options:
                raise InvalidArgument(f'missing required option: "{other}"')
    if "size" in options:
        raise InvalidArgument("quota size requested but no quota support")


def _with_address(word: str, volume: str) -> str:
    """Resolve `addr=<host name>`: the kernel takes an address only (nfs(5))."""
    key, _, value = word.partition("=")
    if key != "addr":
        return word
    try:
        ipaddress.ip_address(value)
    except ValueError:
        pass
    else:
        return word
    try:
        found = socket.getaddrinfo(value, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise FailedPrecondition(
            f"error resolving passed in network volume address of {volume!r}: {value}: {error}"
        ) from error
    return f"addr={found[0][4][0]}"
