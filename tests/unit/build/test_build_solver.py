"""The solver with operations that only count, and the cache that it uses."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tiffin.build.cache import BuildCache
from tiffin.build.cancellation import CancellationToken
from tiffin.build.graph import Layer, Outcome, Result, Vertex
from tiffin.build.key import Key, differences
from tiffin.build.progress import Silence
from tiffin.build.solver import Solver, needed_vertices
from tiffin.build.worker import Worker
from tiffin.errors import Cancelled, FailedPrecondition, InvalidArgument
from tiffin.spec.digest import digest_bytes
from tiffin.spec.image import ImageConfig


class Op:
    """Records that it ran; its key is its name, its content and its inputs' keys."""

    def __init__(
        self, name: str, ran: list[str], *, content: str = "", caches: bool = True,
        body: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.name, self.ran, self.content, self.caches, self.body = name, ran, content, caches, body

    told_by_history = ""

    def cache_key(self, inputs: Sequence[Result], worker: Worker) -> Key:
        return Key.of([("op", self.name), ("content", self.content),
                       *((f"input {i}", r.key.digest) for i, r in enumerate(inputs))])  # fmt: skip

    def run(self, inputs: Sequence[Result], worker: Worker, vertex: Vertex) -> Outcome:
        self.body()
        self.ran.append(self.name)
        digest = digest_bytes(self.name.encode())
        return Outcome(Layer(digest, digest, 1))

    def result(
        self, inputs: Sequence[Result], outcome: Outcome, key: Key, created: str,
        worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        return Result(key, ImageConfig(created=created), "", cast("Any", None), from_cache=hit)


class Rig:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.gone: set[str] = set()
        self.ran: list[str] = []
        self.cache = BuildCache(path, lambda layer: layer.chain_id not in self.gone)
        self.token = CancellationToken()
        self.reasons: list[str] = []

    def vertex(self, name: str, *inputs: Vertex, **options: Any) -> Vertex:  # noqa: ANN401
        return Vertex(Op(name, self.ran, **options), inputs, order=ord(name[0]), name=name)

    def solve(self, wanted: Vertex, *, use_cache: bool = True) -> Result:
        rig = self

        class Log(Silence):
            def missed(self, vertex: Vertex, reason: str) -> None:
                rig.reasons.append(f"{vertex.name}: {reason}")

        none = cast("Any", None)
        worker = Worker(none, none, self.cache, none, none, none, self.path, progress=Log(),
                        cancellation=self.token, explains=True)  # fmt: skip
        self.ran.clear()
        self.reasons.clear()
        return Solver(self.cache, worker, use_cache=use_cache).solve(wanted)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "build")
    yield made
    made.cache.close()


def diamond(rig: Rig, **options: str) -> Vertex:
    a = rig.vertex("a", caches=False)
    b = rig.vertex("b", a, content=options.get("b", ""))
    c = rig.vertex("c", a, content=options.get("c", ""))
    rig.vertex("unused", a)
    return rig.vertex("d", b, c)


def test_each_needed_vertex_runs_once_and_is_cached(rig: Rig) -> None:
    first = rig.solve(diamond(rig))
    assert sorted(rig.ran) == ["a", "b", "c", "d"]
    second = rig.solve(diamond(rig))
    assert rig.ran == ["a"]
    assert second.from_cache
    assert second.config.created == first.config.created
    rig.solve(diamond(rig), use_cache=False)
    assert sorted(rig.ran) == ["a", "b", "c", "d"]


def test_a_change_reruns_what_depends_on_it(rig: Rig) -> None:
    rig.solve(diamond(rig))
    rig.solve(diamond(rig, c="new"))
    assert sorted(rig.ran) == ["a", "c", "d"]
    assert sorted(rig.reasons) == ["c: content changed", "d: input 1 changed"]


def test_the_cache_survives_a_restart(rig: Rig) -> None:
    rig.solve(diamond(rig))
    rig.cache.close()
    again = Rig(rig.path)
    again.solve(diamond(again))
    assert again.ran == ["a"]
    assert [record.uses for record in again.cache.records()] == [2, 2, 2]
    again.cache.close()


def test_records_without_their_layer_are_misses(rig: Rig) -> None:
    rig.solve(diamond(rig))
    rig.gone.add(digest_bytes(b"c"))
    rig.solve(diamond(rig))
    assert sorted(rig.ran) == ["a", "c"]
    assert len(rig.cache.layers()) == 3


def test_a_damaged_cache_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"no database" * 100)
    rig = Rig(tmp_path)
    rig.solve(diamond(rig))
    assert rig.ran
    rig.cache.close()


def test_independent_vertices_run_at_the_same_time(rig: Rig) -> None:
    barrier = threading.Barrier(2, timeout=10)
    a = rig.vertex("a")
    b = rig.vertex("b", a, body=lambda: barrier.wait() and None)
    c = rig.vertex("c", a, body=lambda: barrier.wait() and None)
    rig.solve(rig.vertex("d", b, c))


def test_the_first_failure_cancels_the_rest(rig: Rig) -> None:
    begun = threading.Event()

    def fail() -> None:
        begun.wait(10)
        raise InvalidArgument("broken")

    def wait_for_cancellation() -> None:
        stopped = threading.Event()
        rig.token.subscribe(stopped.set)
        begun.set()
        assert stopped.wait(10)
        rig.token.check()

    a = rig.vertex("a", body=wait_for_cancellation)
    b = rig.vertex("b", body=fail)
    with pytest.raises(InvalidArgument, match="broken"):
        rig.solve(rig.vertex("c", a, b))
    assert rig.ran == []


def test_a_cancelled_build_does_nothing(rig: Rig) -> None:
    rig.token.cancel()
    with pytest.raises(Cancelled):
        rig.solve(diamond(rig))
    assert rig.ran == []


def test_system_errors_name_the_step(rig: Rig) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device", "/x")

    with pytest.raises(FailedPrecondition, match="a: No space left on device: /x"):
        rig.solve(rig.vertex("a", body=fail))


def test_needed_vertices(rig: Rig) -> None:
    assert sorted(vertex.name for vertex in needed_vertices(diamond(rig))) == ["a", "b", "c", "d"]


def test_keys_tell_differences() -> None:
    before, after = Key.of([("a", "1"), ("b", "2")]), Key.of([("b", "3"), ("c", "4")])
    assert before.digest != after.digest
    assert differences(before.parts, after.parts) == ["b changed", "c added", "a removed"]


def test_tokens_call_late_subscribers_at_once() -> None:
    token, called = CancellationToken(), []
    token.subscribe(lambda: called.append("kept"))
    token.subscribe(lambda: called.append("left"))()
    token.cancel()
    token.subscribe(lambda: called.append("late"))
    token.cancel()
    assert called == ["kept", "late"]
