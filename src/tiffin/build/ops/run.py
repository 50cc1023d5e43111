"""RUN: a process in a writable copy of the stage's root file system; what it changes is a layer."""

import codecs
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tiffin.build.cache_mounts import CacheMounts
from tiffin.build.copier import Copier, CopyRules
from tiffin.build.dockerfile.instructions import RunMount
from tiffin.build.executor import RunRequest
from tiffin.build.graph import Outcome, Result, Vertex
from tiffin.build.key import Key, Parts
from tiffin.build.ops.layered import Draft, base_part, draft, next_result
from tiffin.build.selection import content_parts, select
from tiffin.build.tree import DirectoryTree
from tiffin.build.worker import Worker
from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.fs.rooted import Root, clean
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.digest import digest_bytes
from tiffin.spec.ids import new_id
from tiffin.spec.image import History
from tiffin.spec.mount import Mount

STUB_DIRECTORIES = ("proc", "sys", "dev", "etc")
STUB_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
"""What a container's start makes as places for mounts; not part of the layer unless it was there."""
SCRIPT_DIRECTORY = "/dev/pipes"


class RunFailed(InvalidArgument):
    """The process of a RUN did not end with 0."""

    def __init__(self, shown: str, exit_code: int) -> None:
        super().__init__(f"The command '{shown}' returned a non-zero code: {exit_code}")
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class MountInput:
    """A `--mount` with its words expanded; `input` is the index of its source's result, or -1."""

    mount: RunMount
    input: int = -1


@dataclass(frozen=True, slots=True)
class RunOp:
    """`environment` is complete; `secret_environment` (proxies) does not count for the key."""

    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    config: ContainerConfig
    created_by: str
    shown: str
    secret_environment: tuple[str, ...] = ()
    script: tuple[str, str] | None = None
    """(name, text) of a here-document that is a program of its own."""
    network: str = "default"
    insecure: bool = False
    mounts: tuple[MountInput, ...] = field(default=())
    caches = True

    @property
    def told_by_history(self) -> str:
        """The text of its history entry, unless what is mounted counts too."""
        return "" if self.mounts or self.script else self.created_by

    def cache_key(self, inputs: Sequence[Result], worker: Worker) -> Key:
        """Return the key: the step before, the command, its environment, what is mounted."""
        parts: list[tuple[str, str]] = [
            base_part(inputs), ("command", repr(self.arguments)),
            ("user", self.config.user), ("working directory", self.config.working_dir),
            ("network", self.network), ("insecure", str(self.insecure)),
            ("epoch", str(worker.epoch)),
        ]  # fmt: skip
        parts += [(f"variable {item.partition('=')[0]}", item) for item in self.environment]
        if self.script:
            parts.append(("script", digest_bytes(self.script[1].encode())))
        for each in self.mounts:
            parts.append((f"mount {each.mount.target}", repr(each.mount)))
            parts += _content_of(each, inputs, worker)
        return Key.of(parts)

    def run(self, inputs: Sequence[Result], worker: Worker, vertex: Vertex) -> Outcome:
        """Run it; RunFailed if it does not end with 0."""
        with draft(worker, inputs[0].chain_id) as layer, ExitStack() as scope:
            mounts = [mount for each in self.mounts
                      for mount in _mounts(each, inputs, worker, scope)]  # fmt: skip
            if self.script:
                mounts.append(_script(self.script, worker))
            code = self._execute(layer, worker, vertex, tuple(mounts))
            if code != 0:
                raise RunFailed(self.shown, code)
            scope.close()
            _remove_stubs(layer, [mount.target for mount in mounts])
            return layer.commit()

    def result(
        self, inputs: Sequence[Result], outcome: Outcome, key: Key, created: str,
        worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return the step before with the new layer."""
        history = History(created=created, created_by=self.created_by)
        return next_result(inputs[0], outcome, key, worker, config=self.config, history=history,
                           hit=hit)  # fmt: skip

    def _execute(
        self, layer: Draft, worker: Worker, vertex: Vertex, mounts: tuple[Mount, ...]
    ) -> int:
        request = RunRequest(
            id=new_id(), rootfs=layer.mounts, arguments=self.arguments,
            environment=(*self.environment, *self.secret_environment),
            working_dir=self.config.working_dir or "/", user=self.config.user,
            network=self.network if self.network != "default" else worker.network,
            insecure=self.insecure, mounts=mounts, limits=worker.limits,
        )  # fmt: skip
        worker.cancellation.check()
        worker.progress.running(vertex, request.id)
        text = _Text()

        def output(data: bytes) -> None:
            worker.progress.output(vertex, text.decode(data))

        try:
            code = worker.executor.run(request, output, worker.cancellation)
        finally:
            worker.progress.removed(vertex, request.id)
        worker.cancellation.check()
        return code


class _Text:
    """Bytes of a terminal-less process as text, sequences that are cut in two put together."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, data: bytes) -> str:
        return self._decoder.decode(data)


def _remove_stubs(layer: Draft, targets: Sequence[str]) -> None:
    """Remove what was made only to mount something on it: new in this layer, and still empty.

    The snapshot's own directories are looked at, without a mount, which would cost more.
    """
    upper = layer.upper
    if upper is None:
        return
    wanted = [*STUB_DIRECTORIES, *STUB_FILES]
    for target in targets:
        parts = clean(target).split("/")
        wanted += ["/".join(parts[: count + 1]) for count in range(len(parts))]
    with ExitStack() as scope:
        top = scope.enter_context(Root.at(upper))
        lowers = [scope.enter_context(Root.at(lower))
                  for lower in layer.worker.snapshotter.lowers(layer.key)]  # fmt: skip
        for path in sorted(set(wanted), key=lambda each: each.count("/"), reverse=True):
            if not any(_exists(lower, path) for lower in lowers):
                _remove_empty(top, path)


def _exists(root: Root, path: str) -> bool:
    try:
        root.stat(path)
    except OSError:
        return False
    return True


def _remove_empty(root: Root, path: str) -> None:
    try:
        status = root.stat(path)
        if stat.S_ISDIR(status.st_mode):
            if not root.listdir(path):
                root.rmdir(path)
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
            root.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return


def _content_of(each: MountInput, inputs: Sequence[Result], worker: Worker) -> Parts:
    if each.input < 0 or each.mount.kind != "bind":
        return ()
    tree = inputs[each.input].tree
    selector = repr(((each.mount.source,), ()))
    known = worker.cache.tree_digest(tree.identity, selector) if tree.identity else None
    if known is not None:
        return known
    with tree.open() as root:
        parts = content_parts(root, [each.mount.source or "/"], owners=bool(tree.identity))
    if tree.identity:
        worker.cache.remember_tree(tree.identity, selector, parts)
    return parts


def _mounts(
    each: MountInput, inputs: Sequence[Result], worker: Worker, scope: ExitStack
) -> Iterator[Mount]:
    mount = each.mount
    if mount.kind == "tmpfs":
        size = (f"size={mount.size}",) if mount.size else ()
        yield Mount("tmpfs", "tmpfs", ("nosuid", "nodev", "mode=1777", *size), mount.target)
    elif mount.kind == "cache":
        origin = inputs[each.input].tree if each.input >= 0 else None
        place = scope.enter_context(
            CacheMounts(worker.cache.mounts).open(mount, origin, worker.cancellation)
        )
        yield _bind(place, mount.target, readonly=mount.readonly)
    elif mount.kind == "bind":
        place = scope.enter_context(_copied(mount, inputs[each.input], worker))
        yield _bind(place, mount.target, readonly=mount.readonly)
    elif mount.kind == "secret":
        yield from _secret(mount, worker)
    elif mount.required:
        raise FailedPrecondition("ssh agents are not forwarded to this builder; "
                                 "--mount=type=ssh,required cannot be satisfied")  # fmt: skip


def _bind(place: Path, target: str, *, readonly: bool) -> Mount:
    return Mount("bind", str(place), ("rbind", "ro" if readonly else "rw"), target)


@contextmanager
def _copied(mount: RunMount, origin: Result, worker: Worker) -> Iterator[Path]:
    """Yield what is to be mounted, a private copy if need be: writes to it are lost."""
    if isinstance(origin.tree, DirectoryTree) and mount.readonly:
        with origin.tree.open() as source:
            selected = select(source, mount.source or "/", "RUN")[0]
        yield origin.tree.path / selected.path
        return
    place = worker.scratch / f"bind-{new_id()[:12]}"
    place.mkdir(mode=0o755)
    with origin.tree.open() as source, Root.at(place) as target:
        for selected in select(source, mount.source or "/", "RUN"):
            if selected.is_directory:
                status = selected.status
                Copier(source, target, CopyRules()).copy(selected, "tree", into_directory=True)
                os.chown(place / "tree", status.st_uid, status.st_gid)
                (place / "tree").chmod(stat.S_IMODE(status.st_mode))
            else:
                Copier(source, target, CopyRules()).copy(selected, "tree", into_directory=False)
    yield place / "tree"


def _secret(mount: RunMount, worker: Worker) -> Iterator[Mount]:
    identity = mount.identity or Path(mount.source or mount.target).name
    data = worker.secrets.get(identity)
    if data is None:
        if mount.required:
            raise FailedPrecondition(f"secret {identity}: not found", hint="the client sent none")
        return
    place = worker.scratch / f"secret-{new_id()[:12]}"
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with open(fd, "wb") as file:
        file.write(data)
        os.fchown(fd, mount.uid, mount.gid)
        os.fchmod(fd, mount.mode)
    yield _bind(place, mount.target or f"/run/secrets/{identity}", readonly=True)


def _script(script: tuple[str, str], worker: Worker) -> Mount:
    name, text = script
    place = worker.scratch / f"script-{hashlib.sha256(new_id().encode()).hexdigest()[:12]}"
    place.mkdir(mode=0o755)
    path = place / name
    path.write_text(text, "utf-8", "surrogateescape", newline="")
    path.chmod(0o755)
    return _bind(place, SCRIPT_DIRECTORY, readonly=True)
