"""From statements to a `Dockerfile` of stages; every complaint says where."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from tiffin.build.dockerfile import instructions as ins
from tiffin.build.dockerfile import words
from tiffin.build.dockerfile.heredoc import parse_redirection
from tiffin.build.dockerfile.lexer import Statement, lex, statement
from tiffin.build.dockerfile.run_mount import parse_mount
from tiffin.build.dockerfile.source import DockerfileError, Source, Span, SyntaxProblem

MINIMUM_HEALTH_NS = 1_000_000
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")


def parse(text: str, name: str = "Dockerfile") -> ins.Dockerfile:
    """Parse a whole Dockerfile; DockerfileError."""
    tokens = lex(text, name)
    source = tokens.source
    if not tokens.statements:
        raise DockerfileError("file with no instructions", source, Span(1, 1))
    escape = tokens.directives.escape
    global_arguments: list[ins.Arg] = []
    stages: list[ins.Stage] = []
    for found in tokens.statements:
        instruction = _located(found, escape, source)
        if isinstance(instruction, ins.From):
            _check_unique(instruction, stages, source)
            stages.append(ins.Stage(len(stages), instruction))
        elif stages:
            added = (*stages[-1].instructions, instruction)
            stages[-1] = replace(stages[-1], instructions=added)
        elif isinstance(instruction, ins.Arg):
            global_arguments.append(instruction)
        else:
            raise DockerfileError("no build stage in current context", source, found.span)
    if not stages:
        last = tokens.statements[-1].span
        raise DockerfileError("dockerfile contains no stages to build", source, last)
    return ins.Dockerfile(source, escape, tokens.directives.syntax, tuple(global_arguments),
                          tuple(stages), tokens.warnings)  # fmt: skip


def parse_instruction(line: str, *, escape: str = "\\", name: str = "<line>") -> ins.Instruction:
    """Parse a single instruction from outside a file: an ONBUILD trigger, a `--change`.

    Here-documents follow the line within the same text.
    """
    tokens = lex(f"# escape={escape}\n{line}", name)
    if len(tokens.statements) != 1:
        raise DockerfileError("exactly one instruction expected", tokens.source, Span(1, 1))
    return _located(tokens.statements[0], escape, tokens.source)


def _located(found: Statement, escape: str, source: Source) -> ins.Instruction:
    try:
        return _instruction(found, escape)
    except SyntaxProblem as problem:
        raise DockerfileError(problem.message, source, found.span,
                              token=problem.token) from problem  # fmt: skip


def _instruction(found: Statement, escape: str) -> ins.Instruction:
    parse_one = _PARSERS.get(found.keyword)
    if parse_one is None:
        near = words.closest(found.keyword, _PARSERS)
        suggestion = f" (did you mean {near}?)" if near else ""
        token = re.split(r"\s", found.text, maxsplit=1)[0]
        raise SyntaxProblem(f"unknown instruction: {token}{suggestion}", token=token)
    return parse_one(found, escape)


def _check_unique(base: ins.From, stages: Sequence[ins.Stage], source: Source) -> None:
    if base.name and any(stage.name == base.name.lower() for stage in stages):
        raise DockerfileError(f'duplicate name "{base.name}"', source, base.span, token=base.name)


def _no_flags(found: Statement) -> None:
    words.Flags(found.flags)


def _required(found: Statement) -> str:
    if not found.rest.strip():
        raise SyntaxProblem(f"{found.keyword} requires at least one argument")
    return found.rest


def _exactly_one(found: Statement) -> str:
    _no_flags(found)
    rest = found.rest.strip()
    if not rest:
        raise SyntaxProblem(f"{found.keyword} requires exactly one argument")
    return rest


def _from(found: Statement, _escape: str) -> ins.From:
    flags = words.Flags(found.flags, strings=("platform",))
    arguments = found.rest.split()
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[1].lower() != "as"):
        raise SyntaxProblem("FROM requires either one or three arguments")
    name = arguments[2] if len(arguments) == 3 else ""
    if name and not _STAGE_NAME.fullmatch(name.lower()):
        raise SyntaxProblem(
            f'invalid name for build stage: "{name}", name can\'t start with a number or contain '
            "symbols",
            token=name,
        )
    return ins.From(span=found.span, text=found.text, image=arguments[0], name=name,
                    platform=flags.text("platform"))  # fmt: skip


def _arg(found: Statement, escape: str) -> ins.Arg:
    _no_flags(found)
    arguments: list[tuple[str, str | None]] = []
    for word in words.quoted_words(_required(found), escape):
        name, separator, value = word.partition("=")
        if not name:
            raise SyntaxProblem("ARG names can not be blank", token=word)
        arguments.append((name, value if separator else None))
    return ins.Arg(span=found.span, text=found.text, arguments=tuple(arguments))


def _env(found: Statement, escape: str) -> ins.Env:
    _no_flags(found)
    return ins.Env(span=found.span, text=found.text, pairs=words.pairs(found.rest, escape, "ENV"))


def _label(found: Statement, escape: str) -> ins.Label:
    _no_flags(found)
    return ins.Label(span=found.span, text=found.text,
                     pairs=words.pairs(found.rest, escape, "LABEL"))  # fmt: skip


def _maintainer(found: Statement, _escape: str) -> ins.Maintainer:
    return ins.Maintainer(span=found.span, text=found.text, name=_exactly_one(found))


def _run(found: Statement, _escape: str) -> ins.Run:
    flags = words.Flags(found.flags, strings=("network", "security"), repeated=("mount",))
    network = flags.text("network", "default")
    security = flags.text("security", "sandbox")
    if network not in _NETWORKS:
        raise SyntaxProblem(f'unsupported network mode "{network}"', token=network)
    if security not in _SECURITIES:
        raise SyntaxProblem(f'security "{security}" is not valid', token=security)
    return ins.Run(
        span=found.span, text=found.text, command=words.command(_required(found)),
        mounts=tuple(parse_mount(text) for text in flags.every("mount")),
        network=network, security=security, heredocs=found.heredocs,
    )  # fmt: skip


def _copy(found: Statement, _escape: str) -> ins.Copy:
    is_add = found.keyword == "ADD"
    flags = words.Flags(
        found.flags,
        strings=("chown", "chmod", *(("checksum",) if is_add else ("from",))),
        booleans=("link", *(("keep-git-dir", "unpack") if is_add else ("parents",))),
        repeated=("exclude",),
    )
    arguments = words.strings(_required(found))
    if len(arguments) < 2:
        raise SyntaxProblem(f"{found.keyword} requires at least two arguments, but only one was "
                            "provided. Destination could not be determined")  # fmt: skip
    *sources, destination = arguments
    is_json = found.rest.lstrip().startswith("[") and found.heredocs == ()
    plain = [word for word in sources if is_json or not parse_redirection(word)]
    total = len(plain) + len(found.heredocs)
    if total > 1 and not destination.endswith("/") and "$" not in destination \
            and destination not in (".", "..") and not destination.endswith(("/.", "/..")):  # fmt: skip
        raise SyntaxProblem(
            f"When using {found.keyword} with more than one source file, the destination must be "
            "a directory and end with a /",
            token=destination,
        )
    return ins.Copy(
        span=found.span, text=found.text, sources=tuple(plain), destination=destination,
        heredocs=found.heredocs, is_add=is_add, origin=flags.text("from"),
        chown=flags.text("chown"), chmod=flags.text("chmod"), link=bool(flags.boolean("link")),
        parents=bool(flags.boolean("parents")), exclude=flags.every("exclude"),
        checksum=flags.text("checksum"), keep_git_dir=bool(flags.boolean("keep-git-dir")),
        unpack=flags.boolean("unpack"),
    )  # fmt: skip


def _cmd(found: Statement, _escape: str) -> ins.Cmd:
    _no_flags(found)
    return ins.Cmd(span=found.span, text=found.text, command=words.command(found.rest))


def _entrypoint(found: Statement, _escape: str) -> ins.Entrypoint:
    _no_flags(found)
    return ins.Entrypoint(span=found.span, text=found.text, command=words.command(found.rest))


def _expose(found: Statement, _escape: str) -> ins.Expose:
    _no_flags(found)
    return ins.Expose(span=found.span, text=found.text, ports=tuple(_required(found).split()))


def _volume(found: Statement, _escape: str) -> ins.Volume:
    _no_flags(found)
    paths = tuple(path.strip() for path in words.strings(_required(found)))
    if not paths:
        raise SyntaxProblem("VOLUME requires at least one argument")
    if not all(paths):
        raise SyntaxProblem("VOLUME specified can not be an empty string")
    return ins.Volume(span=found.span, text=found.text, paths=paths)


def _user(found: Statement, _escape: str) -> ins.User:
    return ins.User(span=found.span, text=found.text, user=_exactly_one(found))


def _workdir(found: Statement, _escape: str) -> ins.Workdir:
    return ins.Workdir(span=found.span, text=found.text, path=_exactly_one(found))


def _stopsignal(found: Statement, _escape: str) -> ins.Stopsignal:
    return ins.Stopsignal(span=found.span, text=found.text, signal=_exactly_one(found))


def _shell(found: Statement, _escape: str) -> ins.Shell:
    _no_flags(found)
    shell = words.json_strings(found.rest)
    if shell is None:
        if not found.rest.strip():
            raise SyntaxProblem("SHELL requires at least one argument")
        raise SyntaxProblem("SHELL requires the arguments to be in JSON form")
    if not shell:
        raise SyntaxProblem("SHELL requires at least one argument")
    return ins.Shell(span=found.span, text=found.text, shell=shell)


def _healthcheck(found: Statement, _escape: str) -> ins.Healthcheck:
    flags = words.Flags(
        found.flags, strings=("interval", "timeout", "start-period", "start-interval", "retries")
    )
    kind, _, rest = _required(found).strip().partition(" ")
    if kind.upper() == "NONE":
        if rest.strip() or found.flags:
            raise SyntaxProblem("HEALTHCHECK NONE takes no arguments")
        return ins.Healthcheck(span=found.span, text=found.text, command=None)
    if kind.upper() != "CMD":
        raise SyntaxProblem(f'unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)', token=kind)
    if not rest.strip() or (command := words.command(rest)) == ins.Command(is_shell=False):
        raise SyntaxProblem("missing command after HEALTHCHECK CMD")
    retries = flags.text("retries", "0")
    if not re.fullmatch(r"[+-]?[0-9]+", retries):
        raise SyntaxProblem(f'strconv.ParseInt: parsing "{retries}": invalid syntax',
                            token=retries)  # fmt: skip
    if int(retries) < 0:
        raise SyntaxProblem(f"--retries cannot be negative ({retries})", token=retries)
    return ins.Healthcheck(
        span=found.span, text=found.text, command=command,
        interval_ns=_health_duration(flags, "interval"),
        timeout_ns=_health_duration(flags, "timeout"),
        start_period_ns=_health_duration(flags, "start-period"),
        start_interval_ns=_health_duration(flags, "start-interval"), retries=int(retries),
    )  # fmt: skip


def _health_duration(flags: words.Flags, name: str) -> int:
    text = flags.text(name)
    value = words.duration_ns(text) if text else 0
    if value and value < MINIMUM_HEALTH_NS:
        raise SyntaxProblem(f'Interval "{name}" cannot be less than 1ms', token=text)
    return value


def _onbuild(found: Statement, escape: str) -> ins.Onbuild:
    _no_flags(found)
    inner = statement(_required(found), found.span, escape, found.heredocs)
    if inner.keyword == "ONBUILD":
        raise SyntaxProblem("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if inner.keyword in ("MAINTAINER", "FROM"):
        raise SyntaxProblem(f"{inner.keyword} isn't allowed as an ONBUILD trigger")
    if inner.keyword in _PARSERS:
        _instruction(inner, escape)  # complains now rather than in somebody else's build
    trigger = found.rest.strip()
    for heredoc in found.heredocs:
        trigger += f"\n{heredoc.content}{heredoc.name}"
    return ins.Onbuild(span=found.span, text=found.text, trigger=trigger, heredocs=found.heredocs)


_PARSERS: dict[str, Callable[[Statement, str], ins.Instruction]] = {
    "ADD": _copy, "ARG": _arg, "CMD": _cmd, "COPY": _copy, "ENTRYPOINT": _entrypoint,
    "ENV": _env, "EXPOSE": _expose, "FROM": _from, "HEALTHCHECK": _healthcheck,
    "LABEL": _label, "MAINTAINER": _maintainer, "ONBUILD": _onbuild, "RUN": _run,
    "SHELL": _shell, "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume,
    "WORKDIR": _workdir,
}  # fmt: skip
