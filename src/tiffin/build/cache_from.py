"""`--cache-from`: steps that an image of this machine has made already, told by its history.

History says which command made a layer, not from which files, so COPY and ADD are never taken over,
nor RUN with mounts.
"""

from collections.abc import Sequence

from tiffin.build.graph import Layer, Outcome, Result
from tiffin.build.layer import chain_id_on
from tiffin.images.image import Image
from tiffin.spec.image import History


def adopt(
    images: Sequence[Image], inputs: Sequence[Result], created_by: str
) -> tuple[Outcome, str] | None:
    """Return the outcome and creation time of a step that one of `images` has, None otherwise.

    The image must have come the whole way that led to `inputs[0]`, layer by layer.
    """
    if not inputs or not created_by:
        return None
    base = inputs[0].config
    steps, layers = len(base.history), len(base.diff_ids)
    for image in images:
        config = image.config
        if (
            len(config.history) > steps
            and config.history[steps].created_by == created_by
            and config.diff_ids[:layers] == base.diff_ids
            and _commands(config.history[:steps]) == _commands(base.history)
        ):
            entry = config.history[steps]
            if entry.empty_layer:
                return Outcome(), entry.created
            if len(config.diff_ids) > layers:
                return _taken(image, layers, inputs[0].chain_id), entry.created
    return None


def _taken(image: Image, position: int, parent: str) -> Outcome:
    blob, diff_id = image.layers[position], image.config.diff_ids[position]
    return Outcome(Layer(diff_id, chain_id_on(parent, diff_id), blob.size), blob)


def _commands(history: Sequence[History]) -> list[tuple[str, bool]]:
    return [(entry.created_by, entry.empty_layer) for entry in history]
