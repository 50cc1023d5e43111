"""`--change` of commit and import: Dockerfile instructions applied to a finished config."""

from collections.abc import Sequence
from dataclasses import replace

from tiffin.build.dockerfile import instructions as ins
from tiffin.build.dockerfile.expand import expand
from tiffin.build.dockerfile.lexer import lex
from tiffin.build.dockerfile.parser import parse_instruction
from tiffin.build.dockerfile.source import DockerfileError, Source, Span, SyntaxProblem
from tiffin.build.mutate import edit, environment
from tiffin.errors import InvalidArgument
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.image import ImageConfig

ALLOWED = frozenset(
    ("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER",
     "VOLUME", "WORKDIR")
)  # fmt: skip


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """Return `config` with each instruction of `changes` applied; InvalidArgument."""
    return replace(config, config=change_config(config.config, changes))


def change_config(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """Return the config section with each instruction of `changes` applied; InvalidArgument."""
    cmd_is_set = False
    for change in changes:
        for statement in lex(change, "<change>").statements:
            if statement.keyword not in ALLOWED:
                word = statement.text.split(None, 1)[0]
                raise InvalidArgument(f"{word} is not a valid change command")
            instruction = parse_instruction(statement.text, name="<change>")
            config = _applied(instruction, config, cmd_is_set=cmd_is_set)
            cmd_is_set |= isinstance(instruction, ins.Cmd)
    return config


def _applied(
    instruction: ins.Instruction, config: ContainerConfig, *, cmd_is_set: bool
) -> ContainerConfig:
    variables = environment(config)
    try:
        return edit(instruction, config, lambda text: expand(text, variables),
                    cmd_is_set=cmd_is_set).config  # fmt: skip
    except SyntaxProblem as problem:
        source = Source("<change>", (instruction.text,))
        raise DockerfileError(problem.message, source, Span(1, 1), token=problem.token) from problem
