"""Planning of one stage: keeps its config and variables, makes a vertex of each instruction."""

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tiffin.build.dockerfile import instructions as ins
from tiffin.build.dockerfile.expand import expand, expand_heredoc
from tiffin.build.dockerfile.heredoc import parse_redirection
from tiffin.build.dockerfile.parser import parse_instruction
from tiffin.build.dockerfile.source import SyntaxProblem
from tiffin.build.graph import Op, Step, Vertex
from tiffin.build.mutate import DEFAULT_SHELL, edit, environment, joined_path
from tiffin.build.ops.config import ConfigOp, WorkdirOp
from tiffin.build.ops.copy import URL, CopyOp, is_git
from tiffin.build.ops.run import SCRIPT_DIRECTORY, MountInput, RunOp
from tiffin.build.platforms import PROXIES
from tiffin.spec.container_config import ContainerConfig

SUFFIX = " # buildkit"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a stage takes from the file it is in."""

    escape: str
    arguments: Mapping[str, str | None]
    global_arguments: Mapping[str, str]
    context: Vertex
    origin: Callable[[str], Vertex]
    add: Callable[[Vertex], Vertex]
    allows_insecure: bool = False


class StagePlan:
    """A stage on its way; `vertex` and `config` are those after the last instruction."""

    def __init__(self, surroundings: Surroundings, vertex: Vertex, config: ContainerConfig) -> None:
        self._around = surroundings
        self.vertex = vertex
        self.config = config
        self._scope: dict[str, str] = {}
        self._cmd_is_set = False

    @staticmethod
    def labelled(config: ContainerConfig, labels: Mapping[str, str]) -> ContainerConfig:
        """Return a config with labels that are taken literally."""
        return replace(config, labels={**config.labels, **labels})

    def take_triggers(self) -> list[ins.Instruction]:
        """Return the ONBUILD instructions that came with the base, which end here."""
        triggers = self.config.on_build
        self.config = replace(self.config, on_build=())
        return [parse_instruction(text, name="ONBUILD") for text in triggers]

    def apply(self, instruction: ins.Instruction, step: Step | None) -> None:
        """Plan one instruction; SyntaxProblem, or what finding an image raises."""
        if isinstance(instruction, ins.Run):
            self._run(instruction, step)
        elif isinstance(instruction, ins.Copy):
            self._copy(instruction, step)
        elif isinstance(instruction, ins.Arg):
            self._arg(instruction, step)
        elif isinstance(instruction, ins.Maintainer):
            name = self._word(instruction.name)
            self._add(ConfigOp(self.config, f"MAINTAINER {name}", name), instruction, step)
        else:
            edited = edit(instruction, self.config, self._word, cmd_is_set=self._cmd_is_set)
            self.config = edited.config
            self._cmd_is_set |= isinstance(instruction, ins.Cmd)
            kind = WorkdirOp if isinstance(instruction, ins.Workdir) else ConfigOp
            self._add(kind(self.config, edited.created_by), instruction, step)

    def _add(
        self, op: Op, instruction: ins.Instruction, step: Step | None,
        others: Sequence[Vertex] = (),
    ) -> None:  # fmt: skip
        vertex = Vertex(op, (self.vertex, *others), step=step, name=instruction.text)
        self.vertex = self._around.add(vertex)

    def _variables(self) -> dict[str, str]:
        return {**self._scope, **environment(self.config)}

    def _word(self, text: str) -> str:
        return expand(text, self._variables(), self._around.escape)

    def _arg(self, instruction: ins.Arg, step: Step | None) -> None:
        shown = []
        variables = self._variables()
        for raw_name, default in instruction.arguments:
            name = expand(raw_name, variables, self._around.escape)
            value = self._around.arguments.get(name)
            if value is None and default is not None:
                value = expand(default, variables, self._around.escape)
            elif value is None:
                value = self._around.global_arguments.get(name)
            if value is not None:
                self._scope[name] = value
            shown.append(name if value is None else f"{name}={value}")
        self._add(ConfigOp(self.config, f"ARG {' '.join(shown)}"), instruction, step)

    # RUN

    def _run(self, instruction: ins.Run, step: Step | None) -> None:
        if instruction.security == "insecure" and not self._around.allows_insecure:
            raise SyntaxProblem("security.insecure is not allowed", token="--security=insecure")
        arguments, script = self._command(instruction)
        in_environment = environment(self.config)
        scope = [f"{name}={value}" for name, value in self._scope.items()
                 if name not in in_environment]  # fmt: skip
        proxies = tuple(
            f"{name}={value}" for name, value in self._around.arguments.items()
            if name in PROXIES and value is not None and name not in self._scope
            and name not in in_environment
        )  # fmt: skip
        prefix = f"|{len(scope)} {' '.join(scope)} " if scope else ""
        shown = " ".join(arguments)
        mounts, others = self._mounts(instruction)
        op = RunOp(
            arguments=arguments, environment=(*self.config.env, *scope), config=self.config,
            created_by=f"RUN {prefix}{shown}{SUFFIX}", shown=shown, secret_environment=proxies,
            script=script, network=instruction.network,
            insecure=instruction.security == "insecure", mounts=mounts,
        )  # fmt: skip
        self._add(op, instruction, step, others)

    def _command(self, run: ins.Run) -> tuple[tuple[str, ...], tuple[str, str] | None]:
        """Return the argument vector, and the (name, text) of a script it needs."""
        if not run.command.is_shell:
            if not run.command.arguments:
                raise SyntaxProblem("RUN requires at least one argument")
            return run.command.arguments, None
        shell = self.config.shell or DEFAULT_SHELL
        line = run.command.line
        if not run.heredocs:
            return (*shell, line), None
        if len(run.heredocs) == 1 and parse_redirection(line.strip()) is not None:
            heredoc = run.heredocs[0]
            if heredoc.body.startswith("#!"):
                name = posixpath.basename(heredoc.name) or "script"
                return (f"{SCRIPT_DIRECTORY}/{name}",), (name, heredoc.body)
            return (*shell, heredoc.body), None
        bodies = "".join(f"\n{each.content}{each.name}" for each in run.heredocs)
        return (*shell, line + bodies), None

    def _mounts(self, run: ins.Run) -> tuple[tuple[MountInput, ...], list[Vertex]]:
        mounts: list[MountInput] = []
        others: list[Vertex] = []
        for raw in run.mounts:
            target = self._word(raw.target)
            mount = replace(
                raw, source=self._word(raw.source), origin=self._word(raw.origin),
                target=joined_path(self.config.working_dir, target) if target else "",
                identity=self._word(raw.identity),
            )  # fmt: skip
            if mount.target == "/":
                raise SyntaxProblem('invalid mount target "/"', token=raw.target)
            position = -1
            if mount.kind == "bind" or (mount.kind == "cache" and mount.origin):
                position = 1 + len(others)
                others.append(self._around.origin(mount.origin) if mount.origin
                              else self._around.context)  # fmt: skip
            mounts.append(MountInput(mount, position))
        return tuple(mounts), others

    # COPY and ADD

    def _copy(self, copy: ins.Copy, step: Step | None) -> None:
        sources = [self._word(source) for source in copy.sources]
        destination = self._destination(self._word(copy.destination))
        urls = [source for source in sources if URL.match(source)]
        self._check_sources(copy, sources, urls)
        local = tuple(source for source in sources if source not in urls)
        files = tuple(
            (each.name, expand_heredoc(each.body, self._variables(), self._around.escape)
             if each.expands else each.body) for each in copy.heredocs
        )  # fmt: skip
        origin = self._word(copy.origin)
        vertex = self._around.origin(origin) if origin else self._around.context
        op = CopyOp(
            keyword=copy.keyword, sources=local, destination=destination, config=self.config,
            created_by=self._copy_history(copy, sources), files=files, urls=tuple(urls),
            from_context=not origin, is_add=copy.is_add, chown=self._word(copy.chown),
            chmod=self._word(copy.chmod), parents=copy.parents,
            exclude=tuple(self._word(pattern) for pattern in copy.exclude),
            checksum=self._word(copy.checksum), unpack=copy.unpack,
        )  # fmt: skip
        self._add(op, copy, step, (vertex,) if local else ())

    def _check_sources(self, copy: ins.Copy, sources: Sequence[str], urls: Sequence[str]) -> None:
        for source in sources:
            if not copy.is_add and (source in urls or source.startswith("git@")):
                raise SyntaxProblem("source can't be a URL for COPY", token=source)
            if copy.is_add and is_git(source):
                raise SyntaxProblem("ADD from a git repository is not supported by this builder",
                                    token=source)  # fmt: skip
        if copy.checksum and (not urls or len(sources) != 1):
            raise SyntaxProblem("checksum can't be specified for anything but a single "
                                "HTTP(S) source", token="--checksum")  # fmt: skip

    def _destination(self, text: str) -> str:
        """Return the absolute destination; what must be a directory ends with a slash."""
        if not text:
            raise SyntaxProblem("the destination of COPY can not be an empty string")
        is_directory = text.endswith("/") or posixpath.basename(text) in (".", "..")
        path = joined_path(self.config.working_dir, text)
        return path + "/" if is_directory and path != "/" else path

    def _copy_history(self, copy: ins.Copy, sources: Sequence[str]) -> str:
        flags = [("--from=", copy.origin), ("--chown=", copy.chown), ("--chmod=", copy.chmod),
                 ("--checksum=", copy.checksum)]  # fmt: skip
        words = [copy.keyword, *(f"{name}{self._word(value)}" for name, value in flags if value)]
        words += [f"--exclude={pattern}" for pattern in copy.exclude]
        words += ["--link"] if copy.link else []
        words += ["--parents"] if copy.parents else []
        words += [*sources, *(f"<<{each.name}" for each in copy.heredocs)]
        return " ".join([*words, self._word(copy.destination)]) + SUFFIX
