"""From a Dockerfile to a graph, with images that are made up."""

from typing import Any

import pytest

from tiffin.build.dockerfile.parser import parse
from tiffin.build.dockerfile.source import DockerfileError
from tiffin.build.graph import Vertex
from tiffin.build.ops.config import ConfigOp
from tiffin.build.ops.copy import CopyOp
from tiffin.build.ops.run import RunOp
from tiffin.build.ops.source import ContextOp
from tiffin.build.plan import Plan, Settings, parse_build_platform, plan
from tiffin.build.solver import needed_vertices
from tiffin.build.tree import DirectoryTree
from tiffin.errors import InvalidArgument
from tiffin.images.image import Image
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.descriptor import OCI_MANIFEST, Descriptor
from tiffin.spec.digest import digest_bytes
from tiffin.spec.image import ImageConfig
from tiffin.spec.platform import Platform


class Images:
    def __init__(self, **config: Any) -> None:  # noqa: ANN401
        self.asked: list[tuple[str, str]] = []
        self.config = ContainerConfig(**config)

    def find(self, name: str, platform: Platform | None, _vertex: Vertex) -> Image:
        self.asked.append((name, str(platform or "")))
        digest = digest_bytes(name.encode())
        config = ImageConfig(architecture="amd64", config=self.config)
        return Image(digest, config, Descriptor(OCI_MANIFEST, digest, 1), ())


def planned(text: str, images: Images | None = None, **settings: Any) -> Plan:  # noqa: ANN401
    context = ContextOp(DirectoryTree(path=None))  # type: ignore[arg-type]  # never opened
    find = (images or Images()).find
    return plan(parse(text), Settings(**settings), find, context)


def operations(made: Plan) -> list[Any]:
    needed = sorted(needed_vertices(made.target), key=lambda vertex: vertex.order)
    return [vertex.op for vertex in needed]


def run_of(text: str, images: Images | None = None, **settings: Any) -> RunOp:  # noqa: ANN401
    found = [op for op in operations(planned(text, images, **settings)) if isinstance(op, RunOp)]
    return found[-1]


def copy_of(line: str, **config: Any) -> CopyOp:  # noqa: ANN401
    made = planned(f"FROM a AS other\nFROM a\n{line}\n", Images(**config))
    return next(op for op in operations(made) if isinstance(op, CopyOp))


def test_arguments_and_their_scope() -> None:
    run = run_of(
        "ARG G=global\nARG H\nFROM a\nRUN early\nARG G\nARG H\nARG I=$G-i J\nENV I=env K=$I\nRUN x",
        build_arguments={"H": "given", "J": "given too"},
    )  # fmt: skip
    assert run.environment == ("I=env", "K=global-i", "G=global", "H=given", "J=given too")
    assert run.created_by == "RUN |3 G=global H=given J=given too /bin/sh -c x # buildkit"


def test_arguments_end_with_their_stage() -> None:
    assert run_of("FROM a AS b\nARG X=1\nFROM b\nRUN x").environment == ()


def test_a_stage_goes_on_with_the_config_of_another() -> None:
    run = run_of("FROM a AS B\nENV X=1\nWORKDIR /w\nUSER u\nFROM b\nWORKDIR sub\nRUN x")
    assert run.environment == ("X=1",)
    assert (run.config.working_dir, run.config.user) == ("/w/sub", "u")


def test_proxies_are_passed_on_without_a_trace() -> None:
    run = run_of("FROM a\nRUN x", build_arguments={"HTTP_PROXY": "http://p", "no_proxy": "y"})
    assert run.secret_environment == ("HTTP_PROXY=http://p", "no_proxy=y")
    assert run.environment == ()
    assert run.created_by == "RUN /bin/sh -c x # buildkit"


def test_platform_arguments() -> None:
    images = Images()
    text = "FROM --platform=$TARGETPLATFORM a-$TARGETARCH\nARG TARGETOS\nRUN x"
    run = run_of(text, images, platform=Platform("linux", "arm64"))
    assert images.asked == [("a-arm64", "linux/arm64")]
    assert run.environment == ("TARGETOS=linux",)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("RUN a  b", ("/bin/sh", "-c", "a  b")), ('RUN ["a", "$b"]', ("a", "$b")),
        ('SHELL ["/s"]\nRUN x', ("/s", "x")), ("RUN <<E\nx\nE", ("/bin/sh", "-c", "x\n")),
        ("RUN <<E\n#!/x\ny\nE", ("/dev/pipes/E",)),
        ("RUN a <<E b\nx\nE", ("/bin/sh", "-c", "a <<E b\nx\nE")),
        ("RUN <<-E\n\tx\n\tE", ("/bin/sh", "-c", "x\n")),
    ],
)  # fmt: skip
def test_command_lines(line: str, arguments: tuple[str, ...]) -> None:
    assert run_of(f"FROM a\n{line}\n").arguments == arguments


@pytest.mark.parametrize(
    ("line", "destination"),
    [
        ("COPY a b", "/w/b"), ("COPY a .", "/w/"), ("COPY a ./", "/w/"), ("COPY a /x/", "/x/"),
        ("COPY a ..", "/"), ("COPY a $D", "/d"), ("COPY a /", "/"), ("COPY a b c/", "/w/c/"),
        ("COPY a x/.", "/w/x/"),
    ],
)  # fmt: skip
def test_destinations(line: str, destination: str) -> None:
    assert copy_of(line, working_dir="/w", env=("D=/d",)).destination == destination


def test_copies() -> None:
    copy = copy_of("COPY --from=0 --chown=$U:g --chmod=755 --exclude=*.x $A /b", env=("A=1", "U=u"))
    assert (copy.sources, copy.chown, copy.chmod, copy.exclude) == (("1",), "u:g", "755", ("*.x",))
    assert not copy.from_context
    assert copy.created_by == (
        "COPY --from=0 --chown=u:g --chmod=755 --exclude=*.x 1 /b # buildkit"
    )
    heredoc = copy_of("COPY <<A <<'B' /d/\n$X\nA\n$X\nB\n", env=("X=1",))
    assert heredoc.files == (("A", "1\n"), ("B", "$X\n"))


def test_only_needed_stages_are_numbered() -> None:
    made = planned("ARG A\nFROM a AS one\nRUN 1\nFROM b AS two\nRUN 2\nFROM one\nCOPY --from=c x y\n",
                   labels={"l": "$x"})  # fmt: skip
    steps = [step for step in (vertex.step for vertex in made.vertices) if step]
    assert [(step.number, step.text) for step in (*made.preamble, *steps)] == [
        (1, "ARG A"), (2, "FROM a AS one"), (3, "RUN 1"), (4, "FROM one"),
        (5, "COPY --from=c x y"), (6, "LABEL l=$x"),
    ]  # fmt: skip
    assert made.total_steps == 6


def test_triggers_run_after_from() -> None:
    images = Images(on_build=("ENV T=1", "RUN trigger"))
    made = planned("FROM a\nRUN own", images)
    vertices = [vertex for vertex in made.vertices if vertex.order]
    assert vertices[0].notices == ("# Executing 2 build triggers",)
    assert [vertex.step.text if vertex.step else "" for vertex in vertices] == [
        "FROM a", "", "", "RUN own",
    ]  # fmt: skip
    last = vertices[-1].op
    assert isinstance(last, RunOp)
    assert last.config.on_build == ()
    assert last.environment == ("T=1",)


def test_arguments_that_nobody_consumes_are_told() -> None:
    made = planned("ARG A\nFROM a\nARG B\n", build_arguments={
        "A": "1", "B": "1", "D": "1", "C": "1", "HTTP_PROXY": "x", "SOURCE_DATE_EPOCH": "1",
    })  # fmt: skip
    assert made.warnings == ("[Warning] One or more build-args [C D] were not consumed",)


def test_the_maintainer_is_the_author() -> None:
    config = operations(planned("FROM a\nMAINTAINER me\n"))[-1]
    assert isinstance(config, ConfigOp)
    assert (config.author, config.created_by) == ("me", "MAINTAINER me")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM $X\n", "base name ($X) should not be blank"),
        ("FROM a\nENV A=${B:?gone}\n", "on line 2: B: gone"),
        ("FROM a\nCOPY --from=0 a b\n", "invalid from flag value 0: refers to current build block"),
        ("FROM a\nCOPY --from=3 a b\n", "invalid from flag value 3: index out of bounds"),
        ("FROM a\nCOPY http://x/y b\n", "source can't be a URL for COPY"),
        ("FROM a\nADD git@github.com:a/b.git b\n", "ADD from a git repository is not supported"),
        ("FROM a\nADD --checksum=sha256:0 x y\n", "checksum can't be specified"),
        ("FROM a\nRUN --security=insecure x\n", "security.insecure is not allowed"),
        ("FROM a\nRUN --mount=type=tmpfs,target=/ x\n", 'invalid mount target "/"'),
        ("FROM a\nRUN []\n", "RUN requires at least one argument"),
        ("FROM a\nENV $X=1\n", "ENV names can not be blank"),
        ("FROM a\nVOLUME $X\n", "VOLUME specified can not be an empty string"),
        ("FROM a\nCOPY a $X\n", "the destination of COPY can not be an empty string"),
        ("FROM a\nSTOPSIGNAL $X\n", "invalid signal: "),
    ],
)
def test_complaints(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        planned(text)
    assert message in caught.value.message


def test_complaints_of_triggers_point_at_from() -> None:
    with pytest.raises(DockerfileError, match="on line 2: X: gone"):
        planned("\nFROM a\nRUN x\n", Images(on_build=("ENV A=${X:?gone}",)))


def test_platforms() -> None:
    assert parse_build_platform("") is None
    assert parse_build_platform("linux/arm64") == Platform("linux", "arm64")
    with pytest.raises(InvalidArgument, match="multiple platforms"):
        parse_build_platform("linux/arm64,linux/amd64")
