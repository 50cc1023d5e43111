"""The devices that the files of the CDI directories describe.

Directories are looked through anew for each request: they are few and small, and a vendor's tool
may have rewritten them. A device in a later directory replaces its namesake in an earlier one; two
of one name within a directory are in conflict, and neither can be had.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tiffin.engine.cdi.specification import Device, Edits, Specification, load
from tiffin.errors import FailedPrecondition, InvalidArgument

_SUFFIXES = frozenset({".json", ".yaml"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A device and the file's edits that go with it."""

    device: Device
    file: Path
    common: Edits


@dataclass(slots=True)
class Catalogue:
    """Devices by qualified name, and what was wrong with files. Made by `discover`."""

    devices: dict[str, Entry] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def edits(self, names: Sequence[str]) -> list[Edits]:
        """Return the edits for `names` in order, a file's common ones once, before its devices'.

        FailedPrecondition names the devices that do not exist.
        """
        missing = [name for name in names if name not in self.devices]
        if missing:
            reasons = "".join(f"; {error}" for error in self.errors)
            raise FailedPrecondition(
                f"CDI device injection failed: unresolvable CDI devices {', '.join(missing)}"
                + reasons
            )
        out: list[Edits] = []
        files: set[Path] = set()
        for name in dict.fromkeys(names):
            entry = self.devices[name]
            if entry.file not in files:
                files.add(entry.file)
                out.append(entry.common)
            out.append(entry.device.container_edits)
        return out

    def of_kind(self, kind: str) -> list[str]:
        """Return the names, without their kind, of all devices of a kind."""
        prefix = f"{kind}="
        return [name.removeprefix(prefix) for name in self.devices if name.startswith(prefix)]


def discover(directories: Sequence[str]) -> Catalogue:
    """Read all files of the directories. Blocking. A bad file is an entry of `errors`."""
    catalogue = Catalogue()
    for directory in directories:
        _add_directory(catalogue, Path(directory))
    return catalogue


def _add_directory(catalogue: Catalogue, directory: Path) -> None:
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES)
    except FileNotFoundError:
        return
    except OSError as error:
        catalogue.errors.append(f"{directory}: {error.strerror}")
        return
    found: dict[str, Entry] = {}
    twice: set[str] = set()
    for path in files:
        try:
            specification = load(path)
        except InvalidArgument as error:
            catalogue.errors.append(error.message)
            continue
        _add(found, twice, path, specification)
    for name in sorted(twice):
        del found[name]
        catalogue.devices.pop(name, None)
        catalogue.errors.append(f"conflicting device {name!r} in {directory}")
    catalogue.devices.update(found)


def _add(
    found: dict[str, Entry], twice: set[str], path: Path, specification: Specification
) -> None:
    for device in specification.devices:
        name = f"{specification.kind}={device.name}"
        if name in found:
            twice.add(name)
        found[name] = Entry(device, path, specification.container_edits)
