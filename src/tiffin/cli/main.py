"""Entry point of `tiffin`: global flags, the command's words, its flags, its exit code."""

import importlib
import os
import sys
from collections.abc import Sequence

from tiffin import __version__
from tiffin.cli import commands
from tiffin.cli.command import (
    PROGRAM,
    UNLIMITED,
    Command,
    CommandFailed,
    Context,
    Globals,
)
from tiffin.cli.flags import BOOL, Flag, UsageError, Values, boolean, listing, parse, string
from tiffin.client.api import ApiError
from tiffin.client.endpoint import EndpointError
from tiffin.client.http import ConnectFailed, ProtocolFault
from tiffin.wire.template_error import MalformedTemplate, TemplateError

GLOBAL_FLAGS: list[Flag] = [
    string("config", "Location of client config files"),
    string(
        "context",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and "
        'default context set with "tiffin context use")',
        "c",
    ),
    boolean("debug", "Enable debug mode", "D"),
    listing("host", "Daemon socket to connect to", "H"),
    string(
        "log-level",
        'Set the logging level ("debug", "info", "warn", "error", "fatal")',
        "l",
        "info",
    ),
    boolean("tls", "Use TLS; implied by --tlsverify"),
    string("tlscacert", "Trust certs signed only by this CA"),
    string("tlscert", "Path to TLS certificate file"),
    string("tlskey", "Path to TLS key file"),
    boolean("tlsverify", "Use TLS and verify the remote"),
    boolean("version", "Print version information and quit", "v"),
    boolean("help", "Print usage", "h"),
]
HELP = Flag("help", BOOL, "Print usage", "h", default=False, hidden=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return the exit code."""
    try:
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has had enough; nothing more may be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


def _main(arguments: list[str]) -> int:
    try:
        options, rest = parse(GLOBAL_FLAGS, arguments, interspersed=False)
    except UsageError as error:
        usage = f"Usage:  {PROGRAM} [OPTIONS] COMMAND [ARG...]"
        return _fail(f"{error}\n\n{usage}\n\nRun '{PROGRAM} --help' for more information", 125)
    if options["version"]:
        print(f"Tiffin version {__version__}")
        return 0
    if rest and rest[0] == "help":
        return _help_topic(options, rest[1:])
    if not rest or options["help"]:
        _print_overview()
        return 0
    return _dispatch(options, rest)


def _print_overview() -> None:
    from tiffin.cli.usage import overview

    print(overview(GLOBAL_FLAGS))


def _help_topic(options: Values, words: list[str]) -> int:
    if not words:
        _print_overview()
        return 0
    if words[0] not in commands.GROUPS and commands.find((words[0],)) is None:
        return _fail(f"unknown help topic: {' '.join(words)}", 1)
    return _dispatch(options, [*words, "--help"])


def _dispatch(options: Values, words: list[str]) -> int:
    in_group = words[0] in commands.GROUPS
    used = 2 if in_group else 1
    if in_group and (len(words) == 1 or words[1] in ("--help", "-h")):
        from tiffin.cli.usage import group_usage

        print(group_usage(words[0]), file=sys.stdout if len(words) > 1 else sys.stderr)
        return 0
    entry = commands.find(tuple(words[:used]))
    if entry is None:
        return _fail(_unknown(words[:used]), 1)
    module = importlib.import_module(f"tiffin.cli.{entry.module}")
    command: Command = module.COMMAND
    return _run(command, words[:used], words[used:], options)


def _unknown(words: list[str]) -> str:
    parent = " ".join([PROGRAM, *words[:-1]])
    usage = f"Usage:  {parent}\n\n" if len(words) > 1 else ""
    return (
        f"{PROGRAM}: unknown command: {PROGRAM} {' '.join(words)}\n\n"
        f"{usage}Run '{parent} --help' for more information"
    )


def _run(command: Command, words: list[str], arguments: list[str], options: Values) -> int:
    usage = command.usage(words)
    see = f"'{PROGRAM} {' '.join(words)} --help' for more information"
    own_help = any(flag.name == "help" for flag in command.flags)
    try:
        flags = [*command.flags] if own_help else [*command.flags, HELP]
        values, rest = parse(flags, arguments, interspersed=command.interspersed)
    except UsageError as error:
        return _fail(f"{error}\n\n{usage}\n\nRun {see}", 125)
    if values["help"]:
        from tiffin.cli.usage import command_help  # here and below: only readers of help pay

        print(command_help(command, words))
        return 0
    wrong = _count_fault(command, " ".join(words), len(rest))
    if wrong:
        verb = "See" if "at least" in wrong and "at most" not in wrong else "Run"
        return _fail(f"{PROGRAM}: {wrong}\n\n{usage}\n\n{verb} {see}", 1)
    context = Context(_globals(options))
    try:
        return command.run(context, values, rest)
    except UsageError as error:
        if command.failure_code == 1:
            return _fail(str(error), 1)
        return _fail(f"{PROGRAM}: {error}\n\nRun {see}", command.failure_code)
    except ApiError as error:
        return _daemon_said(error.message, command)
    except TemplateError as error:
        malformed = isinstance(error, MalformedTemplate)
        sys.stdout.flush()
        return _fail(f"template parsing error: {error}", 64 if malformed else 1)
    except CommandFailed as error:
        return _fail(error.message, error.code) if error.message else error.code
    except (ConnectFailed, ProtocolFault, EndpointError) as error:
        if not command.runs:
            return _fail(str(error), 1)
        return _fail(f"{PROGRAM}: {error}\n\nRun {see}", 125)


def _daemon_said(message: str, command: Command) -> int:
    text = f"Error response from daemon: {message}"
    if not command.runs:
        return _fail(text, 1)
    return _fail(f"{PROGRAM}: {text}\n\nRun '{PROGRAM} run --help' for more information", 125)


def _globals(options: Values) -> Globals:
    from tiffin.client.contexts import config_directory

    def connect() -> "object":
        from tiffin.cli.connect import connect as connect_daemon

        return connect_daemon(options)

    return Globals(
        config_path=config_directory(options["config"]),
        context=options["context"],
        hosts=options["host"],
        debug=options["debug"],
        connect=connect,  # type: ignore[arg-type]
    )


def _count_fault(command: Command, words: str, count: int) -> str:
    least, most = command.minimum, command.maximum
    plural = "s" if (least if count < least else most) != 1 else ""
    if count >= least and (most == UNLIMITED or count <= most):
        return ""
    name = f"'{PROGRAM} {words}'"
    if 0 < least < most:
        return f"{name} requires at least {least} and at most {most} arguments"
    if most == 0:
        return f"{name} accepts no arguments"
    if least == most:
        return f"{name} requires {least} argument{plural}"
    if count < least:
        return f"{name} requires at least {least} argument{plural}"
    return f"{name} requires at most {most} argument{plural}"


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
