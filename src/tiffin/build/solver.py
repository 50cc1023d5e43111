"""Solves a graph: a memoised walk in topological order, independent vertices in parallel.

Only what the wanted vertices need is visited. A worker thread goes on with one of the vertices that
it made ready, so a chain of steps stays in one thread. The first failure cancels the rest.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from tiffin.build.cache import BuildCache
from tiffin.build.cache_from import adopt
from tiffin.build.graph import Result, Vertex
from tiffin.build.key import Key
from tiffin.build.worker import Worker
from tiffin.errors import Cancelled, FailedPrecondition
from tiffin.spec.digest import Digest

PARALLEL_VERTICES = 4


class Solver:
    """Solves one graph once."""

    def __init__(self, cache: BuildCache, worker: Worker, *, use_cache: bool = True) -> None:
        self._cache = cache
        self._worker = worker
        self._use_cache = use_cache
        self._lock = threading.Lock()
        self._results: dict[Vertex, Result] = {}
        self._hits: list[Digest] = []

    def solve(self, wanted: Vertex) -> Result:
        """Return the result of `wanted`; the first TiffinError of any vertex on the way."""
        waiting, users = _plan(wanted)
        ready = [vertex for vertex, count in waiting.items() if count == 0]
        try:
            # No threads for as long as there is nothing to do in parallel.
            while ready := self._settled(ready, waiting, users):
                if len(ready) > 1:
                    return self._solve_parallel(wanted, waiting, users, ready)
                vertex = ready.pop()
                self._results[vertex] = self._one(vertex)
                ready = self._released(vertex, waiting, users)
            return self._results[wanted]
        finally:
            if self._hits:
                self._cache.used(self._hits)

    def _settled(
        self, ready: Sequence[Vertex], waiting: dict[Vertex, int],
        users: dict[Vertex, list[Vertex]],
    ) -> list[Vertex]:  # fmt: skip
        """Solve those that answer at once, in the order of the log; return the others."""
        left: list[Vertex] = []
        todo = sorted(ready, key=lambda each: each.order)
        while todo:
            vertex = todo.pop(0)
            if vertex.op.caches:
                left.append(vertex)
                continue
            self._results[vertex] = self._one(vertex)
            todo += self._released(vertex, waiting, users)
        return left

    def _solve_parallel(
        self, wanted: Vertex, waiting: dict[Vertex, int],
        users: dict[Vertex, list[Vertex]], ready: Sequence[Vertex],
    ) -> Result:  # fmt: skip
        failure: BaseException | None = None
        with ThreadPoolExecutor(PARALLEL_VERTICES, thread_name_prefix="build") as pool:
            pending: set[Future[list[Vertex]]] = {
                pool.submit(self._chain, vertex, waiting, users) for vertex in ready
            }
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    error = future.exception()
                    if error is not None:
                        failure = _first(failure, error)
                        self._worker.cancellation.cancel()
                    elif failure is None:
                        pending |= {pool.submit(self._chain, vertex, waiting, users)
                                    for vertex in future.result()}  # fmt: skip
        if failure is not None:
            raise failure
        return self._results[wanted]

    def _chain(
        self, vertex: Vertex, waiting: dict[Vertex, int], users: dict[Vertex, list[Vertex]]
    ) -> list[Vertex]:
        """Solve `vertex` and what follows as long as it is a chain; return what became ready."""
        while True:
            result = self._one(vertex)
            with self._lock:
                self._results[vertex] = result
                ready = self._released(vertex, waiting, users)
            if len(ready) != 1:
                return ready
            vertex = ready[0]

    def _released(
        self, vertex: Vertex, waiting: dict[Vertex, int], users: dict[Vertex, list[Vertex]]
    ) -> list[Vertex]:
        released = []
        for user in users[vertex]:
            waiting[user] -= 1
            if waiting[user] == 0:
                released.append(user)
        return sorted(released, key=lambda each: each.order)

    def _one(self, vertex: Vertex) -> Result:
        self._worker.cancellation.check()
        progress = self._worker.progress
        progress.started(vertex)
        inputs = [self._results[each] for each in vertex.inputs]
        op = vertex.op
        key = op.cache_key(inputs, self._worker)
        record = self._cache.find(key) if op.caches and self._use_cache else None
        if record is not None:
            self._hits.append(record.key)
            result = op.result(inputs, record.outcome, key, record.created, self._worker, hit=True)
        else:
            result = self._adopted(vertex, inputs, key) or self._run(vertex, inputs, key)
        progress.finished(vertex, result)
        return result

    def _adopted(self, vertex: Vertex, inputs: Sequence[Result], key: Key) -> Result | None:
        """Take the outcome from an image named by `--cache-from`."""
        op = vertex.op
        found = (adopt(self._worker.cache_from, inputs, op.told_by_history)
                 if self._use_cache and op.caches else None)  # fmt: skip
        if found is None:
            return None
        outcome, created = found
        return op.result(inputs, outcome, key, created, self._worker, hit=True)

    def _run(self, vertex: Vertex, inputs: Sequence[Result], key: Key) -> Result:
        op = vertex.op
        if op.caches and self._use_cache and self._worker.explains:
            self._worker.progress.missed(vertex, self._cache.explain(key, vertex.name))
        try:
            outcome = op.run(inputs, self._worker, vertex)
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            raise FailedPrecondition(f"{vertex.name}: {reason}") from error
        created = self._worker.created()
        if op.caches:
            parent = inputs[0].key.digest if inputs else ""
            self._cache.store(key, outcome, description=vertex.name, created=created,
                              parent=parent)  # fmt: skip
        return op.result(inputs, outcome, key, created, self._worker, hit=False)


def needed_vertices(wanted: Vertex) -> set[Vertex]:
    """Return `wanted` and all that it needs."""
    return set(_plan(wanted)[0])


def _plan(wanted: Vertex) -> tuple[dict[Vertex, int], dict[Vertex, list[Vertex]]]:
    """Return how many inputs each needed vertex waits for, and who uses it."""
    waiting: dict[Vertex, int] = {}
    users: dict[Vertex, list[Vertex]] = defaultdict(list)
    stack = [wanted]
    while stack:
        vertex = stack.pop()
        if vertex in waiting:
            continue
        inputs = _unique(vertex.inputs)
        waiting[vertex] = len(inputs)
        for each in inputs:
            users[each].append(vertex)
            stack.append(each)
    return waiting, users


def _unique(vertices: Iterable[Vertex]) -> list[Vertex]:
    return list(dict.fromkeys(vertices))


def _first(known: BaseException | None, error: BaseException) -> BaseException:
    """Prefer a real failure to the cancellations that it causes."""
    if known is None or (isinstance(known, Cancelled) and not isinstance(error, Cancelled)):
        return error
    return known
