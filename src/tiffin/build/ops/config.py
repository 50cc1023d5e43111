"""Steps that change only the image's config, and WORKDIR, which may also make a directory."""

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from tiffin.build.copier import Copier, CopyRules
from tiffin.build.graph import Outcome, Result, Vertex
from tiffin.build.key import Key
from tiffin.build.ops.layered import base_part, draft, next_result
from tiffin.build.ownership import Owner, resolve_owner
from tiffin.build.worker import Worker
from tiffin.fs.rooted import Root
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.image import History


@dataclass(frozen=True, slots=True)
class ConfigOp:
    """Sets the config to one that was worked out when the graph was planned."""

    config: ContainerConfig
    created_by: str
    author: str = ""
    caches = True

    @property
    def told_by_history(self) -> str:
        """The text of its history entry."""
        return self.created_by

    def cache_key(self, inputs: Sequence[Result], worker: Worker) -> Key:
        """Return the key of the step before, the instruction and the config it leads to."""
        config = json.dumps(self.config.to_json(), sort_keys=True)
        return Key.of([base_part(inputs), ("instruction", self.created_by), ("config", config),
                       ("author", self.author), ("epoch", str(worker.epoch))])  # fmt: skip

    def run(self, _inputs: Sequence[Result], _worker: Worker, _vertex: Vertex) -> Outcome:
        """Do nothing: no file changes."""
        return Outcome()

    def result(
        self, inputs: Sequence[Result], outcome: Outcome, key: Key, created: str,
        worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return the step before with the new config."""
        history = History(created=created, created_by=self.created_by, author=self.author)
        return next_result(inputs[0], outcome, key, worker, config=self.config, history=history,
                           hit=hit)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkdirOp(ConfigOp):
    """WORKDIR: the directory is made unless it exists, for the user in force."""

    def run(self, inputs: Sequence[Result], worker: Worker, _vertex: Vertex) -> Outcome:
        """Make the directory."""
        with draft(worker, inputs[0].chain_id) as layer:
            with layer.open() as root:
                if _is_directory(root, self.config.working_dir):
                    return Outcome()
                owner = resolve_owner(self.config.user, root) if self.config.user else Owner(0, 0)
                rules = CopyRules(created_owner=owner)
                Copier(root, root, rules).make_directories(self.config.working_dir)
            return layer.commit()


def _is_directory(root: Root, path: str) -> bool:
    try:
        return stat.S_ISDIR(root.stat(path, follow=True).st_mode)
    except OSError:
        return False
