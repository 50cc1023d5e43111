"""The 18 instructions as values. Words are as written: expansion happens where they are used."""

from dataclasses import dataclass, field

from tiffin.build.dockerfile.heredoc import Heredoc
from tiffin.build.dockerfile.source import Source, Span

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Base: where it stands and its logical line, for the log."""

    span: Span
    text: str

    @property
    def keyword(self) -> str:
        """The instruction's name, e.g. `COPY`."""
        return type(self).__name__.upper()


@dataclass(frozen=True, slots=True)
class Command:
    """What CMD, ENTRYPOINT, RUN and HEALTHCHECK run: a shell line or an argument vector."""

    line: str = ""
    arguments: tuple[str, ...] = ()
    is_shell: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """`FROM [--platform=] image [AS name]`."""

    image: str
    name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """`ARG name[=default] …`; a default of None means that there is none."""

    arguments: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    """`ENV name=value …` or the legacy `ENV name value`."""

    pairs: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    """`LABEL name=value …`."""

    pairs: Pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    """`MAINTAINER name` (deprecated)."""

    name: str


@dataclass(frozen=True, slots=True)
class RunMount:
    """`--mount` of RUN. `mode` is octal or -1; `source`, `target` and `identity` may hold `$x`."""

    kind: str = "bind"
    source: str = ""
    target: str = ""
    origin: str = ""
    """`from=`: a stage, image or "" for the build context."""
    identity: str = ""
    readonly: bool = False
    sharing: str = "shared"
    required: bool = False
    mode: int = -1
    uid: int = 0
    gid: int = 0
    size: int = 0
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """`RUN [--mount=…]… [--network=] [--security=] command`."""

    command: Command
    mounts: tuple[RunMount, ...] = ()
    network: str = "default"
    security: str = "sandbox"
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """`COPY` and, with `is_add`, `ADD`. Here-document sources are in `heredocs`, not `sources`."""

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    is_add: bool = False
    origin: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None

    @property
    def keyword(self) -> str:
        """COPY or ADD."""
        return "ADD" if self.is_add else "COPY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    """`CMD`."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    """`ENTRYPOINT`."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """`EXPOSE port[/protocol] …`."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    """`VOLUME path …`."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    """`USER name[:group]`."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    """`WORKDIR path`."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopsignal(Instruction):
    """`STOPSIGNAL signal`."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    """`SHELL ["…"]`."""

    shell: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """`HEALTHCHECK`; no command means NONE. Durations in ns, 0 for "not given"."""

    command: Command | None
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """`ONBUILD instruction`; `trigger` is kept as text, as images store it."""

    trigger: str
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM with what follows it. `index` counts from 0."""

    index: int
    base: From
    instructions: tuple[Instruction, ...] = ()

    @property
    def name(self) -> str:
        """The name given by AS in lower case, or "" ."""
        return self.base.name.lower()


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed file."""

    source: Source
    escape: str
    syntax: str
    global_arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    warnings: tuple[str, ...] = field(default=())
