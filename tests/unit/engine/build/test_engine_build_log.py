"""The classic log: lines in the order of the file, whatever the order of events."""

from collections.abc import Mapping
from typing import Any, cast

from tiffin.build.graph import Result, Step, Vertex
from tiffin.build.key import Key
from tiffin.build.plan import Plan
from tiffin.engine.build.classic import ClassicLog, image_id
from tiffin.spec.ids import short
from tiffin.spec.image import ImageConfig

NO_OP = cast("Any", None)


def vertex(order: int, text: str = "", **members: Any) -> Vertex:  # noqa: ANN401
    step = Step(order + 1, text) if text else None
    return Vertex(NO_OP, order=order, step=step, **members)


def result(*, hit: bool = False) -> Result:
    return Result(Key.of([]), ImageConfig(), "", NO_OP, from_cache=hit)


class Rig:
    def __init__(self, *vertices: Vertex) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.log = ClassicLog(self.lines.append)
        plan = Plan(vertices[-1], vertices, (Step(1, "ARG X"),), len(vertices) + 1,
                    ("[WARNING]: told at once", "[Warning] told at the end"))  # fmt: skip
        self.log.begin(plan, set(vertices))

    @property
    def text(self) -> str:
        return "".join(line["stream"] for line in self.lines)


ID = short(image_id(result()))


def test_one_step_after_another() -> None:
    one, two = vertex(1, "FROM a", notices=("# Executing 1 build trigger",)), vertex(2, "RUN b")
    rig = Rig(one, two)
    rig.log.started(one)
    rig.log.finished(one, result(hit=True))
    rig.log.started(two)
    rig.log.missed(two, "file x changed")
    rig.log.running(two, "0123456789abcdef")
    rig.log.output(two, "said\n")
    rig.log.removed(two, "0123456789abcdef")
    rig.log.finished(two, result())
    assert (
        rig.text
        == f"""\
[WARNING]: told at once
Step 1/3 : ARG X
Step 2/3 : FROM a
# Executing 1 build trigger
 ---> Using cache
 ---> {ID}
Step 3/3 : RUN b
 ---> Not cached: file x changed
 ---> Running in 0123456789ab
said
 ---> Removed intermediate container 0123456789ab
 ---> {ID}
"""
    )


def test_later_steps_wait_for_their_turn() -> None:
    one, two, three = vertex(1, "A"), vertex(2, "B"), vertex(3, "C")
    rig = Rig(one, two, three)
    rig.log.started(two)
    rig.log.output(two, "second\n")
    rig.log.started(three)
    rig.log.output(three, "third\n")
    rig.log.finished(three, result())
    assert rig.text.endswith("ARG X\n")
    rig.log.started(one)
    assert rig.text.endswith("Step 2/4 : A\n")
    rig.log.finished(one, result())
    assert rig.text.endswith("Step 3/4 : B\nsecond\n")
    rig.log.output(two, "live\n")
    assert rig.text.endswith("live\n")
    rig.log.finished(two, result())
    assert rig.text.endswith(f"Step 4/4 : C\nthird\n ---> {ID}\n")


def test_what_was_held_back_is_told_after_a_failure() -> None:
    one, two = vertex(1, "A"), vertex(2, "B")
    rig = Rig(one, two)
    rig.log.started(two)
    rig.log.output(two, "why it failed\n")
    rig.log.flush()
    assert rig.text.endswith("Step 3/3 : B\nwhy it failed\n")


def test_vertices_without_a_place_are_silent() -> None:
    context, one = vertex(0), vertex(1, "A")
    rig = Rig(context, one)
    rig.log.started(context)
    rig.log.output(context, "nothing")
    rig.log.finished(context, result())
    assert rig.text.endswith("ARG X\n")
