"""One build from its context to its image, in a thread of its own."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiffin.build.cache import BuildCache
from tiffin.build.cancellation import CancellationToken
from tiffin.build.context import apply_ignore, read_dockerfile, unpack_context
from tiffin.build.dockerfile.instructions import Dockerfile
from tiffin.build.dockerfile.parser import parse
from tiffin.build.executor import Executor
from tiffin.build.exporter import ImageExporter
from tiffin.build.fetch import Fetcher
from tiffin.build.graph import Vertex
from tiffin.build.ops.copy import is_git
from tiffin.build.ops.source import ContextOp
from tiffin.build.plan import Plan, Settings, plan
from tiffin.build.solver import Solver, needed_vertices
from tiffin.build.tree import DirectoryTree
from tiffin.build.worker import Worker
from tiffin.engine.build.base_images import BaseImages
from tiffin.engine.build.classic import ClassicLog, Emit
from tiffin.engine.build.request import BuildRequest
from tiffin.errors import InvalidArgument
from tiffin.fs.rooted import Root, remove_tree
from tiffin.fs.tar import TarReader
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.store import ImageStore
from tiffin.layers.compression import Source, decompressor, sniff
from tiffin.spec.ids import new_id, short

EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True, slots=True)
class BuildRun:
    """Everything one build needs; `emit` takes the client's lines."""

    request: BuildRequest
    store: ImageStore
    cache: BuildCache
    images: BaseImages
    executor: Executor
    fetcher: Fetcher
    cancellation: CancellationToken
    emit: Emit

    def run(self, body: Source) -> Image:
        """Build; TiffinError. Nothing but the image and the cache is left behind."""
        with self._scratch() as scratch:
            dockerfile, context = self._context(body, scratch)
            self.cancellation.check()
            # Images that are only used need no look at the garbage afterwards.
            with self.store.lease(adds=False) as used, self.store.lease() as made:
                return self._build(dockerfile, ContextOp(DirectoryTree(context)), scratch,
                                   used, made)  # fmt: skip

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        place = self.cache.work / new_id()
        place.mkdir(mode=0o700)
        try:
            yield place
        finally:
            remove_tree(place)

    # The context

    def _context(self, body: Source, scratch: Path) -> tuple[Dockerfile, Path]:
        context = scratch / "context"
        context.mkdir(mode=0o755)
        name = self.request.dockerfile
        with Root.at(context) as root:
            if self.request.remote:
                name = self._remote(root, scratch)
            else:
                unpack_context(body, root)
            text = read_dockerfile(root, name)
            dockerfile = parse(text, name or "Dockerfile")
            apply_ignore(root, name)
        return dockerfile, context

    def _remote(self, root: Root, scratch: Path) -> str:
        """Fill the context from a URL; return the Dockerfile's name in it."""
        url = self.request.remote
        if is_git(url):
            raise InvalidArgument(f"unable to prepare context from git repository {url}: clone it "
                                  "and send the clone as the context")  # fmt: skip
        if not re.match(r"https?://", url, re.IGNORECASE):
            raise InvalidArgument(f'remote URL "{url}" is not supported')
        place = scratch / "remote"
        place.mkdir(mode=0o700)
        fetched = self.fetcher.fetch(url, place)
        if _is_archive(fetched.path):
            with fetched.path.open("rb") as file:
                unpack_context(file, root)
            return self.request.dockerfile
        fetched.path.rename(scratch / "context" / "Dockerfile")
        return "Dockerfile"

    # The build

    def _build(
        self, dockerfile: Dockerfile, context: ContextOp, scratch: Path, used: Lease, made: Lease
    ) -> Image:
        log = ClassicLog(self.emit)
        sources = [image for name in self.request.cache_from
                   if (image := self.images.local(name, used)) is not None]  # fmt: skip
        worker = replace(self._worker(scratch, made, log), cache_from=sources)

        def find_image(name: str, platform: Any, _vertex: Vertex) -> Image:  # noqa: ANN401
            self.cancellation.check()
            return self.images.find(name, platform, used)

        planned = plan(dockerfile, self._settings(), find_image, context)
        log.begin(planned, needed_vertices(planned.target))
        try:
            result = Solver(self.cache, worker, use_cache=not self.request.no_cache).solve(
                planned.target
            )
        except BaseException:
            log.flush()
            raise
        self.cancellation.check()
        image = ImageExporter(self.store, self.request.names).image(result)
        self._say_end(planned, image)
        return image

    def _worker(self, scratch: Path, lease: Lease, log: ClassicLog) -> Worker:
        request = self.request
        return Worker(
            snapshotter=self.store.snapshotter, content=self.store.content, cache=self.cache,
            executor=self.executor, fetcher=self.fetcher, lease=lease, scratch=scratch,
            progress=log, cancellation=self.cancellation, limits=request.limits,
            network=request.network, epoch=_epoch(request.arguments), explains=request.explains,
        )  # fmt: skip

    def _settings(self) -> Settings:
        request = self.request
        return Settings(request.arguments, request.labels, request.target, request.platform)

    def _say_end(self, planned: Plan, image: Image) -> None:
        for warning in planned.warnings:
            if warning.startswith("[Warning]"):
                self.emit({"stream": f"{warning}\n"})
        self.emit({"aux": {"ID": image.id}})
        self.emit({"stream": f"Successfully built {short(image.id)}\n"})
        for name in self.request.names:
            tagged = name.with_default_tag().familiar
            self.emit({"stream": f"Successfully tagged {tagged}\n"})


def _epoch(arguments: Mapping[str, str | None]) -> int | None:
    text = arguments.get(EPOCH)
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,11}", text):
        raise InvalidArgument(f"invalid {EPOCH}: {text}")
    return int(text)


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        if sniff(file.read(16)):
            return True
        file.seek(0)
        try:
            next(iter(TarReader(decompressor(file))))
        except (InvalidArgument, StopIteration):
            return False
    return True
