"""Golden files: each Dockerfile next to the instructions that it means, as text.

To accept new results: `python tests/unit/build/test_build_parser.py`, then read the difference.
"""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.build.dockerfile.instructions import Dockerfile, Instruction
from tiffin.build.dockerfile.parser import parse, parse_instruction
from tiffin.build.dockerfile.source import DockerfileError

GOLDEN = Path(__file__).parent / "golden"


def describe(dockerfile: Dockerfile) -> str:
    lines = [f"escape {dockerfile.escape}", f"syntax {dockerfile.syntax}".rstrip()]
    lines += [_line(each) for each in dockerfile.global_arguments]
    for stage in dockerfile.stages:
        lines += [f"stage {stage.index} {stage.name}".rstrip(), _line(stage.base)]
        lines += [_line(each) for each in stage.instructions]
    return "\n".join([*lines, *dockerfile.warnings]) + "\n"


def _line(instruction: Instruction) -> str:
    span = instruction.span
    return f"{span.first:3}-{span.last:<3} {instruction.keyword} {_members(instruction)}".rstrip()


def _members(value: object) -> str:
    """Show the members that differ from their defaults."""
    shown = []
    for field in fields(value):  # type: ignore[arg-type]  # a dataclass, by construction
        member = getattr(value, field.name)
        if field.name not in ("span", "text") and member != field.default:
            shown.append(f"{field.name}={_value(member)}")
    return " ".join(shown)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_value(item) for item in value) + ")"
    return f"<{_members(value)}>" if is_dataclass(value) else repr(value)


def read(path: Path) -> Dockerfile:
    return parse(path.read_bytes().decode(), path.name)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    assert describe(read(path)) == path.with_suffix(".txt").read_text()


COMPLAINTS = [
    ("", 1, "file with no instructions"),
    ("# only a comment\n", 1, "file with no instructions"),
    ("ARG x\n", 1, "dockerfile contains no stages to build"),
    ("RUN x\nFROM a\n", 1, "no build stage in current context"),
    ("FROM a\nFOO b\n", 2, "unknown instruction: FOO"),
    ("FROM a\n\nRUNN b\n", 3, "unknown instruction: RUNN (did you mean RUN?)"),
    ("FROM\n", 1, "FROM requires either one or three arguments"),
    ("FROM a b\n", 1, "FROM requires either one or three arguments"),
    ("FROM a AS 1b\n", 1, 'invalid name for build stage: "1b", name can\'t start with a number'),
    ("FROM a AS b\nFROM c AS B\n", 2, 'duplicate name "B"'),
    ("FROM --os=x a\n", 1, "unknown flag: --os"),
    ("FROM a\nCOPY --form=x a b\n", 2, "unknown flag: --form (did you mean from?)"),
    ("FROM a\nCOPY --from=x --from=y a b\n", 2, "duplicate flag specified: --from"),
    ("FROM a\nCOPY --from a b\n", 2, "missing a value on flag: --from"),
    ("FROM a\nCOPY --link=maybe a b\n", 2, "expecting boolean value for flag link, not: maybe"),
    ("FROM a\nADD --from=x a b\n", 2, "unknown flag: --from"),
    ("FROM a\nCOPY a\n", 2,
     ("COPY requires at least two arguments, but only one was provided. "
      "Destination could not be determined")),
    ("FROM a\nCOPY\n", 2, "COPY requires at least one argument"),
    ("FROM a\nCOPY a b c\n", 2,
     ("When using COPY with more than one source file, the destination "
      "must be a directory and end with a /")),
    ("FROM a\nCOPY [1, 2]\n", 2,
     ("when using JSON array syntax, arrays must be comprised of "
      "strings only")),
    ("FROM a\nRUN\n", 2, "RUN requires at least one argument"),
    ("FROM a\nRUN --mount=type=foo x\n", 2, 'unsupported mount type "foo"'),
    ("FROM a\nRUN --mount=type=cache x\n", 2, 'target is required for mount type "cache"'),
    ("FROM a\nRUN --mount=type=tmpfs,target=/x,bar=1 x\n", 2, "unexpected key 'bar' in 'bar=1'"),
    ("FROM a\nRUN --mount=type=tmpfs,target=/x,id=1 x\n", 2,
     "unexpected key 'id' for mount type 'tmpfs'"),
    ("FROM a\nRUN --mount=target=/x,ro=2 x\n", 2, "invalid value for ro: 2"),
    ("FROM a\nRUN --mount=type=cache,target=/x,mode=9 x\n", 2, "invalid value 9 for mode"),
    ("FROM a\nRUN --mount=type=cache,target=/x,sharing=no x\n", 2, "unsupported sharing value"),
    ("FROM a\nRUN --network=bridge x\n", 2, 'unsupported network mode "bridge"'),
    ("FROM a\nRUN --security=high x\n", 2, 'security "high" is not valid'),
    ("FROM a\nRUN <<EOF\nx\n", 2, "unterminated heredoc"),
    ("FROM a\nENV\n", 2, "ENV requires at least one argument"),
    ("FROM a\nENV x\n", 2, "ENV must have two arguments"),
    ("FROM a\nENV x=1 y\n", 2,
     ('Syntax error - can\'t find = in "y". Must be of the form: '
      "name=value")),
    ("FROM a\nENV =x\n", 2, "ENV names can not be blank"),
    ("FROM a\nLABEL x\n", 2, "LABEL must have two arguments"),
    ("FROM a\nARG\n", 2, "ARG requires at least one argument"),
    ("FROM a\nARG =x\n", 2, "ARG names can not be blank"),
    ("FROM a\nUSER\n", 2, "USER requires exactly one argument"),
    ("FROM a\nWORKDIR\n", 2, "WORKDIR requires exactly one argument"),
    ("FROM a\nSTOPSIGNAL\n", 2, "STOPSIGNAL requires exactly one argument"),
    ("FROM a\nEXPOSE\n", 2, "EXPOSE requires at least one argument"),
    ("FROM a\nVOLUME []\n", 2, "VOLUME requires at least one argument"),
    ('FROM a\nVOLUME [""]\n', 2, "VOLUME specified can not be an empty string"),
    ("FROM a\nSHELL bash\n", 2, "SHELL requires the arguments to be in JSON form"),
    ("FROM a\nSHELL []\n", 2, "SHELL requires at least one argument"),
    ("FROM a\nONBUILD ONBUILD RUN x\n", 2, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
    ("FROM a\nONBUILD FROM x\n", 2, "FROM isn't allowed as an ONBUILD trigger"),
    ("FROM a\nONBUILD FOO x\n", 2, "unknown instruction: FOO"),
    ("FROM a\nONBUILD\n", 2, "ONBUILD requires at least one argument"),
    ("FROM a\nHEALTHCHECK\n", 2, "HEALTHCHECK requires at least one argument"),
    ("FROM a\nHEALTHCHECK FOO x\n", 2, 'unknown type "FOO" in HEALTHCHECK (try CMD)'),
    ("FROM a\nHEALTHCHECK NONE x\n", 2, "HEALTHCHECK NONE takes no arguments"),
    ("FROM a\nHEALTHCHECK CMD\n", 2, "missing command after HEALTHCHECK CMD"),
    ("FROM a\nHEALTHCHECK --interval=5 CMD x\n", 2, 'time: missing unit in duration "5"'),
    ("FROM a\nHEALTHCHECK --interval=x CMD x\n", 2, 'time: invalid duration "x"'),
    ("FROM a\nHEALTHCHECK --interval=1us CMD x\n", 2, 'Interval "interval" cannot be less than'),
    ("FROM a\nHEALTHCHECK --retries=-1 CMD x\n", 2, "--retries cannot be negative (-1)"),
    ("FROM a\nHEALTHCHECK --retries=x CMD x\n", 2, 'strconv.ParseInt: parsing "x"'),
    ("# escape=x\nFROM a\n", 1, "invalid ESCAPE 'x'. Must be ` or \\"),
    ("# syntax=a\n# syntax=b\nFROM a\n", 2, "only one syntax parser directive can be used"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "reason"), COMPLAINTS)
def test_complaints(text: str, line: int, reason: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert caught.value.message.startswith(f"dockerfile parse error on line {line}: {reason}")
    assert caught.value.span.first == line


def test_complaints_show_the_place() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("FROM a\nRUN x\n\nCOPY --form=b \\\n  c d\nCMD e\n", "My.Dockerfile")
    assert (
        caught.value.message
        == """\
dockerfile parse error on line 4: unknown flag: --form (did you mean from?)
My.Dockerfile:4
--------------------
   2 |     RUN x
   3 |
   4 | >>> COPY --form=b \\
     |          ^^^^^^
   5 | >>>   c d
   6 |     CMD e
--------------------"""
    )


def test_directives_end_with_the_first_other_line() -> None:
    assert parse("# syntax = a/b \n#check=skip=all\n#Escape=`\nFROM x").escape == "`"
    assert parse("# a comment\n# escape=`\nFROM x").escape == "\\"
    assert parse("\n# escape=`\nFROM x").escape == "\\"
    assert parse("# unknown=1\n# escape=`\nFROM x").escape == "\\"


def test_one_instruction_alone() -> None:
    assert parse_instruction("RUN <<E\nx\nE").keyword == "RUN"
    with pytest.raises(DockerfileError, match="exactly one instruction"):
        parse_instruction("RUN a\nRUN b")


lines = st.sampled_from([
    "FROM a", "RUN x \\", "# c", "", "COPY <<A <<-B /x/", "A", "B", "ENV a=$b \\", "RUN [\"x\"]",
    "ONBUILD RUN <<A", "HEALTHCHECK CMD x", "--flag", "'", '"', "`", "\\", "# escape=`",
])  # fmt: skip


@given(st.lists(st.one_of(lines, st.text()), max_size=12))
def test_any_text_parses_or_is_a_dockerfile_error(parts: list[str]) -> None:
    text = "\n".join(parts)
    try:
        parsed = parse(text)
    except DockerfileError:
        return
    last = len(parsed.source.lines)
    for stage in parsed.stages:
        assert all(1 <= each.span.first <= each.span.last <= last for each in stage.instructions)


if __name__ == "__main__":
    for golden in GOLDEN.glob("*.Dockerfile"):
        golden.with_suffix(".txt").write_text(describe(read(golden)))
