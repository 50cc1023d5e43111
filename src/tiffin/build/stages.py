"""Which stages a target needs, found without building anything."""

from collections.abc import Iterator, Sequence

from tiffin.build.dockerfile import instructions as ins
from tiffin.errors import InvalidArgument


def find_stage(stages: Sequence[ins.Stage], name: str) -> ins.Stage | None:
    """Return the last stage of that name (case does not matter)."""
    wanted = name.lower()
    return next((stage for stage in reversed(stages) if stage.name == wanted), None)


def find_origin(stages: Sequence[ins.Stage], name: str, before: int) -> ins.Stage | None:
    """Return the stage that `--from=name` in stage number `before` means; None for an image."""
    if name.isascii() and name.isdigit():
        if int(name) >= before:
            raise InvalidArgument(f"invalid from flag value {name}: refers to current build block"
                                  if int(name) == before else
                                  f"invalid from flag value {name}: index out of bounds")  # fmt: skip
        return stages[int(name)]
    return find_stage(stages[:before], name)


def target_stage(stages: Sequence[ins.Stage], target: str) -> ins.Stage:
    """Return the stage to build; InvalidArgument in Docker's words."""
    if not target:
        return stages[-1]
    found = find_stage(stages, target)
    if found is None and target.isascii() and target.isdigit() and int(target) < len(stages):
        found = stages[int(target)]
    if found is None:
        raise InvalidArgument(f'target stage "{target}" could not be found')
    return found


def needed_stages(stages: Sequence[ins.Stage], target: ins.Stage) -> list[ins.Stage]:
    """Return `target` and all it needs, in the order of the file."""
    needed: set[int] = set()
    todo = [target.index]
    while todo:
        index = todo.pop()
        if index not in needed:
            needed.add(index)
            todo += _needs(stages, stages[index])
    return [stages[index] for index in sorted(needed)]


def _needs(stages: Sequence[ins.Stage], stage: ins.Stage) -> Iterator[int]:
    base = find_stage(stages[: stage.index], stage.base.image)
    if base is not None:
        yield base.index
    elif "$" in stage.base.image:
        yield from _all_before(stage)
    for instruction in stage.instructions:
        for origin in _origins(instruction):
            if "$" in origin:
                yield from _all_before(stage)
            elif (found := find_origin(stages, origin, stage.index)) is not None:
                yield found.index


def _all_before(stage: ins.Stage) -> Iterator[int]:
    """Yield every stage that a name with a variable in it could turn out to mean."""
    yield from range(stage.index)


def _origins(instruction: ins.Instruction) -> Iterator[str]:
    if isinstance(instruction, ins.Copy) and instruction.origin:
        yield instruction.origin
    elif isinstance(instruction, ins.Run):
        yield from (mount.origin for mount in instruction.mounts if mount.origin)
