"""The builder as the rest of the engine sees it.

Its modules are imported by the first build: an idle daemon spares them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tiffin.api.types.build import BuildCacheRecord, PruneReport
from tiffin.build.cache import BuildCache
from tiffin.build.cancellation import CancellationToken
from tiffin.build.tree import SNAPSHOT_PREFIX
from tiffin.engine.build.lines import Line, Lines
from tiffin.engine.events import Events
from tiffin.engine.roots import Roots
from tiffin.engine.tasks.contract import TaskService
from tiffin.errors import Conflict, NotFound, TiffinError
from tiffin.images.image import Image
from tiffin.images.manifests import has_blob
from tiffin.images.store import ImageStore
from tiffin.layers.compression import Source
from tiffin.snapshots.snapshotter import Kind
from tiffin.spec.digest import Digest
from tiffin.spec.id_mapping import IdMappings

if TYPE_CHECKING:
    from tiffin.build.graph import Layer
    from tiffin.engine.build.base_images import Pulls
    from tiffin.engine.build.classic import Emit
    from tiffin.engine.build.request import BuildRequest, PruneRequest
    from tiffin.engine.build.run import BuildRun
    from tiffin.engine.build.run_step import Networks, RunningContainers

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

PARALLEL_BUILDS = 32


class Builds:
    """Runs builds; each has a thread, cancelled when its client goes away."""

    def __init__(
        self, roots: Roots, store: ImageStore, pulls: Pulls, tasks: TaskService,
        networks: Networks, containers: RunningContainers, events: Events,
    ) -> None:  # fmt: skip
        self._roots = roots
        self._store = store
        self._pulls = pulls
        self._tasks = tasks
        self._networks = networks
        self._containers = containers
        self._events = events
        self._running: dict[str, CancellationToken] = {}
        self._threads = ThreadPoolExecutor(PARALLEL_BUILDS, thread_name_prefix="build")
        self._cache = BuildCache(roots.build_cache, self._is_present)
        self._steps = roots.build_cache / "running"
        store.add_roots(self._roots_of_cache)
        self.id_mappings = IdMappings()
        """Of the user namespace that steps run in; empty for none."""

    async def snapshot_keys(self) -> list[str]:
        """Return the snapshots of builds under way when a daemon was killed; before `recover`.

        Those may still be in use, until `recover` has ended what runs on them.
        """
        return await self._call(self._own_snapshots)

    async def recover(self) -> None:
        """Remove what builds of an earlier daemon left: processes, snapshots, contexts."""
        if self._steps.is_dir():
            from tiffin.engine.build.run_step import clean_up_steps

            await clean_up_steps(self._steps, self._roots, self._tasks, self._networks)
        await self._call(self._recover)

    def close(self) -> None:
        """Let go of the cache; no build may be under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._cache.close()

    async def build(self, request: BuildRequest, body: Source) -> AsyncGenerator[list[Line], None]:
        """Build an image and yield the output in batches of lines, as they come.

        What goes wrong before the first line is raised; afterwards it is the last line. `body` is
        the context, read in a thread. Leaving the iteration early cancels the build.
        """
        loop = asyncio.get_running_loop()
        lines = Lines(loop)
        token = self._register(request.identity)
        run = self._run(request, token, lines.put, loop)
        task = loop.run_in_executor(self._threads, run.run, body)
        task.add_done_callback(lambda _task: lines.end())
        output = _Output(is_quiet=request.quiet)
        try:
            async for batch in lines.batches():
                if shown := output.take(batch):
                    yield shown
            try:
                self._publish(await task, request)
            except TiffinError as error:
                if not output.has_begun:
                    raise
                yield [*output.held, error_line(error)]
        finally:
            token.cancel()
            self._forget(request.identity, token)
            await _ended(task)

    def cancel(self, identity: str) -> None:
        """Cancel a build by the id that its client gave; it is no error if there is none."""
        token = self._running.get(identity)
        if token is not None:
            token.cancel()

    async def prune(self, request: PruneRequest) -> PruneReport:
        """Remove cached results; InvalidArgument for unknown filters."""
        from tiffin.engine.build.disk_usage import prune_cache

        report = await self._call(prune_cache, self._cache, self._store, request)
        if not request.preview:
            self._events.publish("builder", "prune", "", {"reclaimed": str(report.space_reclaimed)})
        return report

    async def disk_usage(self) -> list[BuildCacheRecord]:
        """List the cache for `system df`."""
        from tiffin.engine.build.disk_usage import list_cache

        return await self._call(list_cache, self._cache, self._store)

    def _run(
        self, request: BuildRequest, token: CancellationToken, emit: Emit,
        loop: asyncio.AbstractEventLoop,
    ) -> BuildRun:  # fmt: skip
        from tiffin.engine.build.base_images import BaseImages
        from tiffin.engine.build.download import HttpFetcher
        from tiffin.engine.build.run import BuildRun
        from tiffin.engine.build.run_step import TaskExecutor

        images = BaseImages(
            self._store, self._pulls, loop, request.credentials, emit, token, request.pull
        )
        executor = TaskExecutor(loop, self._roots, self._tasks, self._networks, self._containers,
                                self._steps, self.id_mappings)  # fmt: skip
        return BuildRun(request, self._store, self._cache, images, executor, HttpFetcher(loop, token),
                        token, emit)  # fmt: skip

    def _register(self, identity: str) -> CancellationToken:
        token = CancellationToken()
        if identity:
            if identity in self._running:
                raise Conflict(f"build {identity} is already under way")
            self._running[identity] = token
        return token

    def _forget(self, identity: str, token: CancellationToken) -> None:
        if self._running.get(identity) is token:
            del self._running[identity]

    def _publish(self, image: Image, request: BuildRequest) -> None:
        labels = dict(image.config.config.labels)
        self._events.publish("image", "create", image.id, {"name": image.id})
        for name in request.names:
            tagged = name.with_default_tag().familiar
            self._events.publish("image", "tag", image.id, {**labels, "name": tagged})

    def _recover(self) -> None:
        self._cache.clean_work()
        for name in reversed(self._own_snapshots()):
            with suppress(NotFound):
                self._store.snapshotter.remove(name)

    def _own_snapshots(self) -> list[str]:
        return [
            info.name
            for info in self._store.snapshotter.walk()
            if info.kind is not Kind.COMMITTED and info.name.startswith(SNAPSHOT_PREFIX)
        ]

    def _is_present(self, layer: Layer) -> bool:
        return has_blob(self._store.content, layer.diff_id) and self._store.unpacker.has(
            Digest(layer.chain_id)
        )

    def _roots_of_cache(self) -> list[str]:
        return [name for layer in self._cache.layers() for name in (layer.diff_id, layer.chain_id)]

    async def _call(self, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*arguments, **options))


class _Output:
    """Decides what the client gets to see: of a quiet build the image's id, or all if it fails."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self.held: list[Line] = []
        self.has_begun = False

    def take(self, batch: list[Line]) -> list[Line]:
        """Return what of a batch is to be sent now."""
        self.has_begun |= bool(batch)
        if not self._is_quiet:
            return batch
        self.held += [line for line in batch if "stream" in line]
        return [{"stream": f"{line['aux']['ID']}\n"} for line in batch if "aux" in line]


def error_line(error: TiffinError) -> Line:
    """Return the last line of a failed build; a failed RUN adds its exit code."""
    from tiffin.build.ops.run import RunFailed  # loaded by the build that failed

    detail: dict[str, Any] = {"message": str(error)}
    if isinstance(error, RunFailed):
        detail = {"code": error.exit_code, **detail}
    return {"errorDetail": detail, "error": str(error)}


async def _ended(task: asyncio.Future[Image]) -> None:
    """Wait for a build that was cancelled; why it failed then is of no interest to anybody."""
    if not task.done():
        await asyncio.wait([task])
    error = task.exception()
    if error is not None and not isinstance(error, TiffinError):
        log.info("a build ended with %r", error)
