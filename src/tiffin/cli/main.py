"""Entry point of `tiffin`: global flags, the command's words, its flags, its exit code."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tiffin import __version__
from tiffin.cli import commands
from tiffin.cli.command import UNLIMITED, Command, CommandFailed, Context, Globals
from tiffin.cli.flags import BOOL, Flag, UsageError, Values, boolean, listing, parse, string
from tiffin.cli.usage import PROGRAM, command_usage, flag_lines
from tiffin.client.api import ApiError
from tiffin.client.endpoint import EndpointError
from tiffin.client.http import ConnectFailed, ProtocolFault

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
HELP = Flag("help", BOOL, "Print usage", default=False, hidden=True)


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
        return _fail(f"{error}\nSee '{PROGRAM} --help'.", 125)
    if options["version"]:
        print(f"Tiffin version {__version__}")
        return 0
    if not rest or options["help"]:
        print(_overview())
        return 0
    if rest[0] == "help":
        rest = [*rest[1:], "--help"]
        if len(rest) == 1:
            print(_overview())
            return 0
    return _dispatch(options, rest)


def _dispatch(options: Values, words: list[str]) -> int:
    if words[0] in commands.GROUPS:
        group = words[0]
        if len(words) == 1 or words[1] in ("--help", "-h"):
            print(_group_usage(group))
            return 0
        entry = commands.find((group, words[1]))
        used = 2
    else:
        entry, used = commands.find((words[0],)), 1
    if entry is None:
        name = f"{PROGRAM} {' '.join(words[: 2 if words[0] in commands.GROUPS else 1])}"
        parent = f"{PROGRAM} {words[0]}" if words[0] in commands.GROUPS else PROGRAM
        return _fail(
            f"{PROGRAM}: unknown command: {name}\n\nRun '{parent} --help' for more information", 1
        )
    module = importlib.import_module(f"tiffin.cli.{entry.module}")
    command: Command = module.COMMAND
    return _run(command, words[:used], words[used:], options)


def _run(command: Command, words: list[str], arguments: list[str], options: Values) -> int:
    usage = command_usage(words, command.synopsis)
    see = f"'{PROGRAM} {' '.join(words)} --help' for more information"
    try:
        flags = [*command.flags, HELP]
        values, rest = parse(flags, arguments, interspersed=command.interspersed)
    except UsageError as error:
        return _fail(f"{error}\n\n{usage}\n\nRun {see}", 125)
    if values["help"]:
        print(_help(command, words))
        return 0
    wrong = _count_fault(command, " ".join(words), len(rest))
    if wrong:
        return _fail(f"{PROGRAM}: {wrong}\n\n{usage}\n\nSee {see}", 1)
    context = Context(_globals(options))
    try:
        return command.run(context, values, rest)
    except UsageError as error:
        return _fail(f"{PROGRAM}: {error}\n\nRun {see}", command.failure_code)
    except ApiError as error:
        return _fail(_daemon_said(error.message, command), command.failure_code)
    except CommandFailed as error:
        return _fail(error.message, error.code) if error.message else error.code
    except (ConnectFailed, ProtocolFault, EndpointError) as error:
        prefix = f"{PROGRAM}: " if command.failure_code == 125 else ""
        return _fail(f"{prefix}{error}", command.failure_code)


def _daemon_said(message: str, command: Command) -> str:
    if command.failure_code == 125:
        return (
            f"{PROGRAM}: Error response from daemon: {message}\n\n"
            f"Run '{PROGRAM} run --help' for more information"
        )
    return f"Error response from daemon: {message}"


def _globals(options: Values) -> Globals:
    from tiffin.client.contexts import config_directory

    def connect() -> "object":
        from tiffin.cli.connect import connect as connect_daemon

        return connect_daemon(options)

    return Globals(
        config=config_directory(options["config"]),
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
    if most == 0:
        return f"{name} accepts no arguments"
    if least == most:
        return f"{name} requires {least} argument{plural}"
    if count < least:
        return f"{name} requires at least {least} argument{plural}"
    return f"{name} requires at most {most} argument{plural}"


def _help(command: Command, words: list[str]) -> str:
    lines = [command_usage(words, command.synopsis), "", command.summary]
    if any(not flag.hidden for flag in command.flags):
        lines += ["", "Options:", *flag_lines(command.flags)]
    return "\n".join(lines)


def _group_usage(group: str) -> str:
    lines = [f"Usage:  {PROGRAM} {group} COMMAND", "", commands.GROUPS[group], "", "Commands:"]
    lines += _summaries(group)
    lines += ["", f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def _overview() -> str:
    lines = [f"Usage:  {PROGRAM} [OPTIONS] COMMAND", "", "Containers, whole", ""]
    lines += ["Management Commands:"]
    lines += [f"  {name:<11} {text}" for name, text in sorted(commands.GROUPS.items())]
    lines += ["", "Commands:", *_summaries(""), "", "Global Options:"]
    lines += flag_lines([flag for flag in GLOBAL_FLAGS if flag.name != "help"])
    lines += ["", f"Run '{PROGRAM} COMMAND --help' for more information on a command."]
    return "\n".join(lines)


def _summaries(group: str) -> list[str]:
    found = commands.verbs(group)
    width = max(len(name) for name, _ in found)
    return [
        f"  {name:<{width}} {importlib.import_module('tiffin.cli.' + entry.module).COMMAND.summary}"
        for name, entry in found
        if Path(__file__).with_name(entry.module.replace(".", "/") + ".py").exists()
    ]


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
