"""From a Dockerfile to a graph: stages are walked in order, all words are expanded here.

Configs do not depend on what RUN does, so they are known before anything is built; base images must
be here for that, and are asked for on the way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tiffin.build.dockerfile import instructions as ins
from tiffin.build.dockerfile.expand import expand
from tiffin.build.dockerfile.source import DockerfileError, SyntaxProblem
from tiffin.build.graph import Step, Vertex
from tiffin.build.ops.config import ConfigOp
from tiffin.build.ops.source import ContextOp, ImageOp, ScratchOp, StageOp
from tiffin.build.platforms import PROXIES, SPECIAL, platform_arguments
from tiffin.build.stage_plan import StagePlan, Surroundings
from tiffin.build.stages import find_origin, find_stage, needed_stages, target_stage
from tiffin.errors import InvalidArgument
from tiffin.images.image import Image
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.image import ImageConfig
from tiffin.spec.platform import Platform, host_platform, parse_platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

FindImage = Callable[[str, Platform | None, Vertex], Image]
"""Finds, or pulls, an image; the vertex is where the log of it goes. TiffinError."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the graph besides the Dockerfile. A build argument of None is unset."""

    build_arguments: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    platform: Platform | None = None
    allows_insecure: bool = False
    """Whether `RUN --security=insecure` may have all capabilities and devices."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph ready to be solved: `target` is what is wanted, `vertices` are in the log's order.

    `preamble` are steps that do nothing by themselves, the arguments before the first FROM.
    """

    target: Vertex
    vertices: tuple[Vertex, ...]
    preamble: tuple[Step, ...]
    total_steps: int
    warnings: tuple[str, ...] = ()


def plan(
    dockerfile: ins.Dockerfile, settings: Settings, find_image: FindImage, context: ContextOp
) -> Plan:
    """Plan the build; DockerfileError, InvalidArgument, or what `find_image` raises."""
    return _Planner(dockerfile, settings, find_image, context).run()


class _Planner:
    def __init__(
        self, dockerfile: ins.Dockerfile, settings: Settings, find_image: FindImage,
        context: ContextOp,
    ) -> None:  # fmt: skip
        self._file = dockerfile
        self._settings = settings
        self._find_image = find_image
        self._context = Vertex(context)
        self._target = target_stage(dockerfile.stages, settings.target)
        self._platform = settings.platform or host_platform()
        self._vertices: list[Vertex] = []
        self._ends: dict[int, Vertex] = {}
        self._images: dict[str, Vertex] = {}
        self._configs: dict[int, ContainerConfig] = {}
        self._steps = 0

    def run(self) -> Plan:
        needed = needed_stages(self._file.stages, self._target)
        preamble = tuple(Step(self._next_step(), each.text) for each in self._file.global_arguments)
        self._globals = self._global_arguments()
        for stage in needed:
            self._stage(stage)
        end = self._labelled(self._ends[self._target.index])
        return Plan(end, tuple(self._vertices), preamble, self._steps,
                    (*self._file.warnings, *self._unconsumed()))  # fmt: skip

    def _global_arguments(self) -> dict[str, str]:
        known = dict(platform_arguments(host_platform(), self._platform, self._settings.target))
        for instruction in self._file.global_arguments:
            with self.located(instruction):
                for name, default in instruction.arguments:
                    given = self._settings.build_arguments.get(name)
                    if given is not None:
                        known[name] = given
                    elif default is not None:
                        known[name] = expand(default, known, self._file.escape)
        return known

    def _stage(self, stage: ins.Stage) -> None:
        vertex, config = self._base(stage)
        surroundings = Surroundings(
            escape=self._file.escape, arguments=self._settings.build_arguments,
            global_arguments=self._globals, context=self._context,
            origin=lambda name: self._origin(name, stage), add=self.add,
            allows_insecure=self._settings.allows_insecure,
        )  # fmt: skip
        planned = StagePlan(surroundings, vertex, config)
        for trigger in planned.take_triggers():
            with self.located(stage.base):
                planned.apply(trigger, None)
        for instruction in stage.instructions:
            step = Step(self._next_step(), instruction.text)
            with self.located(instruction):
                planned.apply(instruction, step)
        self._ends[stage.index] = planned.vertex
        self._configs[stage.index] = planned.config

    def _base(self, stage: ins.Stage) -> tuple[Vertex, ContainerConfig]:
        base = stage.base
        step = Step(self._next_step(), base.text)
        with self.located(base):
            name = expand(base.image, self._globals, self._file.escape)
            if not name:
                raise SyntaxProblem(f"base name ({base.image}) should not be blank")
            wanted = expand(base.platform, self._globals, self._file.escape)
            platform = parse_platform(wanted) if wanted else self._settings.platform
        parent = find_stage(self._file.stages[: stage.index], name)
        if parent is not None:
            vertex = self.add(Vertex(StageOp(), (self._ends[parent.index],), step=step))
            return vertex, self._configs[parent.index]
        if name == "scratch":
            config = ContainerConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
            chosen = platform or self._platform
            image = ImageConfig(architecture=chosen.architecture, os=chosen.os,
                                variant=chosen.variant, config=config)  # fmt: skip
            return self.add(Vertex(ScratchOp(image), step=step)), config
        vertex = self.add(Vertex(StageOp(), step=step))
        found = self._find_image(name, platform, vertex)
        vertex.op = ImageOp(found)
        self._notice_triggers(vertex, found.config.config.on_build)
        return vertex, found.config.config

    def _notice_triggers(self, vertex: Vertex, triggers: Sequence[str]) -> None:
        if triggers:
            plural = "s" if len(triggers) > 1 else ""
            vertex.notices = (f"# Executing {len(triggers)} build trigger{plural}",)

    def _origin(self, name: str, stage: ins.Stage) -> Vertex:
        """Return the vertex whose files `--from=name` means."""
        found = find_origin(self._file.stages, name, stage.index)
        if found is not None:
            if found.index not in self._ends:
                self._stage(found)
            return self._ends[found.index]
        if name not in self._images:
            vertex = self.add(Vertex(StageOp()))
            vertex.op = ImageOp(self._find_image(name, self._settings.platform, vertex))
            self._images[name] = vertex
        return self._images[name]

    def _labelled(self, end: Vertex) -> Vertex:
        labels = self._settings.labels
        if not labels:
            return end
        shown = "LABEL " + " ".join(f"{name}={value}" for name, value in sorted(labels.items()))
        config = self._configs[self._target.index]
        labelled = StagePlan.labelled(config, labels)
        return self.add(Vertex(ConfigOp(labelled, shown), (end,), name=shown,
                               step=Step(self._next_step(), shown)))  # fmt: skip

    def add(self, vertex: Vertex) -> Vertex:
        """Give a vertex its place in the log."""
        self._vertices.append(vertex)
        vertex.order = len(self._vertices)
        return vertex

    def _next_step(self) -> int:
        self._steps += 1
        return self._steps

    @contextmanager
    def located(self, instruction: ins.Instruction) -> Iterator[None]:
        """Add the place to a complaint that does not know it."""
        try:
            yield
        except SyntaxProblem as problem:
            raise DockerfileError(problem.message, self._file.source, instruction.span,
                                  token=problem.token) from problem  # fmt: skip

    def _unconsumed(self) -> Iterator[str]:
        declared = {name for instruction in self._all_arguments()
                    for name, _ in instruction.arguments}  # fmt: skip
        left = sorted(set(self._settings.build_arguments) - declared - PROXIES - SPECIAL)
        if left:
            yield f"[Warning] One or more build-args [{' '.join(left)}] were not consumed"

    def _all_arguments(self) -> Iterator[ins.Arg]:
        yield from self._file.global_arguments
        for stage in self._file.stages:
            for instruction in stage.instructions:
                if isinstance(instruction, ins.Arg):
                    yield instruction


def parse_build_platform(text: str) -> Platform | None:
    """Parse the `platform` of a build request; "" means the host's."""
    if not text:
        return None
    if "," in text:
        raise InvalidArgument(f"multiple platforms are not supported by this builder: {text}")
    return parse_platform(text)
