"""The files of /etc that the engine writes: hosts, hostname, resolv.conf.

They are bind-mounted into the running container, so they are rewritten in place, never replaced.
"""

from tiffin.engine.bundle.mounts import EtcFiles
from tiffin.engine.networks.contract import Allocation
from tiffin.engine.roots import Roots


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
