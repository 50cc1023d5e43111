"""A container's own directory, and the files of /etc that the engine writes into it.

Those (hosts, hostname, resolv.conf) are bind-mounted into the running container, so they are
rewritten in place, never replaced.
"""

from tiffin.engine.bundle.mounts import EtcFiles
from tiffin.engine.networks.contract import Allocation
from tiffin.engine.roots import Roots


def make_directory(roots: Roots, container_id: str) -> None:
    """Make the container's directory, with a place for its log, where it is missing. Blocking."""
    directory = roots.container(container_id)
    directory.mkdir(parents=True, exist_ok=True, mode=0o710)
    (directory / "log").mkdir(exist_ok=True, mode=0o700)


def etc_files(roots: Roots, container_id: str) -> EtcFiles:
    """Return where the files of a container are."""
    directory = roots.container(container_id)
    return EtcFiles(directory / "hosts", directory / "hostname", directory / "resolv.conf")


def write_files(files: EtcFiles, allocation: Allocation) -> None:
    """Write all three for a new run. Blocking."""
    for path, text in (
        (files.hosts, allocation.hosts),
        (files.hostname, f"{allocation.hostname}\n"),
        (files.resolv_conf, allocation.resolv_conf),
    ):
        path.write_text(text)
        path.chmod(0o644)
