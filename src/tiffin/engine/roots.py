"""Where one daemon keeps its things, and the tag that marks its things in the kernel."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA_ROOT = Path("/var/lib/tiffin")
DEFAULT_EXEC_ROOT = Path("/run/tiffin")


@dataclass(frozen=True, slots=True)
class Roots:
    """The two roots of one daemon.

    `data` survives a reboot, `exec` does not. `tag` is unique per data root and short enough for
    interface names; it names the nftables table, the cgroup parent and the default bridge, so that
    two daemons run side by side and each cleans up only after itself.
    """

    data: Path
    exec: Path

    @property
    def tag(self) -> str:
        """`tiffin` for the default root, `tf<6 hex>` for any other."""
        if self.data == DEFAULT_DATA_ROOT:
            return "tiffin"
        return "tf" + hashlib.sha256(str(self.data).encode()).hexdigest()[:6]

    @property
    def database(self) -> Path:
        """The state file."""
        return self.data / "state.db"

    @property
    def content(self) -> Path:
        """The content store."""
        return self.data / "content"

    @property
    def snapshots(self) -> Path:
        """The snapshotter's directory."""
        return self.data / "snapshots"

    @property
    def volumes(self) -> Path:
        """Local volumes."""
        return self.data / "volumes"

    @property
    def build_cache(self) -> Path:
        """The builder's cache."""
        return self.data / "build"

    def container(self, container_id: str) -> Path:
        """Return the directory of one container's log, hosts, hostname and resolv.conf."""
        return self.data / "containers" / container_id

    @property
    def tasks(self) -> Path:
        """Parent of all task directories."""
        return self.exec / "tasks"

    def task(self, container_id: str) -> Path:
        """Return the directory of one task: config.json, state.json, exit.json, shim.sock."""
        return self.tasks / container_id

    @property
    def discarded(self) -> Path:
        """Task directories that are about to be removed."""
        return self.exec / "discarded"

    @property
    def networks(self) -> Path:
        """Names files, one per network and container, that shims answer DNS from."""
        return self.exec / "networks"
