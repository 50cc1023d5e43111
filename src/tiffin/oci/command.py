"""The command line as a whole: global flags, the command's own, errors and exit codes."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tiffin import __version__
from tiffin.errors import InvalidArgument, NotFound, TiffinError
from tiffin.oci.container import Container
from tiffin.oci.flags import FLAG, Flag, Parsed, parse
from tiffin.oci.log import Log
from tiffin.oci.store import Store

COMMANDS = {
    "checkpoint": "checkpoint a running container (not offered)",
    "create": "create a container",
    "delete": "delete any resources held by a container",
    "events": "display container events and statistics",
    "exec": "execute a new process inside the container",
    "features": "show the enabled features",
    "kill": "send a signal to the container's init process",
    "list": "list containers",
    "pause": "suspend all processes inside the container",
    "ps": "display the processes inside a container",
    "restore": "restore a container from a checkpoint (not offered)",
    "resume": "resume all processes that have been paused",
    "run": "create and start a container",
    "spec": "create a new specification file",
    "start": "start a container that has been created",
    "state": "output the state of a container",
    "update": "update the resource limits of a container",
}
GLOBALS = (
    Flag("debug", FLAG, help="enable debug logging"),
    Flag("log", help="set the log file to write to (default is stderr)"),
    Flag("log-format", help='set the log format ("text" or "json")'),
    Flag("root", help="root directory of the state of containers"),
    Flag("systemd-cgroup", FLAG, help="have systemd make control groups (not offered)"),
    Flag("rootless", help='"true", "false" or "auto"'),
    Flag("criu", help="accepted; checkpoints are not offered"),
    Flag("help", FLAG, "h", "show this help"),
    Flag("version", FLAG, "v", "print the version"),
)
ENDED_BY_WORDS = frozenset({"exec", "ps"})
"""Commands that pass words on, with flags that are not theirs."""

OCI_VERSION = "1.2.0"
FAILED = 1


@dataclass(frozen=True, slots=True)
class Call:
    """One command as it was called."""

    name: str
    parsed: Parsed
    log: Log
    store: Store
    systemd_cgroup: bool
    has_root: bool
    """`--root` was given."""

    def container_id(self) -> str:
        """Return the one word there may be besides flags; InvalidArgument."""
        self.expect(1, 1)
        return self.parsed.words[0]

    def expect(self, least: int, most: int | None) -> None:
        """Raise InvalidArgument unless there are that many words."""
        count = len(self.parsed.words)
        if least == most != count:
            raise InvalidArgument(
                f'tiffin-runtime: "{self.name}" requires exactly {least} argument(s)'
            )
        if count < least:
            raise InvalidArgument(
                f'tiffin-runtime: "{self.name}" requires a minimum of {least} argument(s)'
            )
        if most is not None and count > most:
            raise InvalidArgument(
                f'tiffin-runtime: "{self.name}" requires a maximum of {most} argument(s)'
            )

    def container(self, container_id: str = "") -> Container:
        """Return the container that was named; NotFound."""
        if not container_id and not self.parsed.words:
            raise InvalidArgument("container id cannot be empty")
        record = self.store.load(container_id or self.parsed.words[0])
        return Container(self.store, record)


def execute(arguments: Sequence[str]) -> int:
    """Run what the arguments say; return the exit code."""
    log = Log()
    code = FAILED
    try:
        chosen = parse(GLOBALS, arguments)
        log = _log(chosen)
        name, rest = (chosen.words[0], chosen.words[1:]) if chosen.words else ("", [])
        if chosen.has("version"):
            print(f"tiffin-runtime version {__version__}\nspec: {OCI_VERSION}")  # noqa: T201
            return 0
        if chosen.has("help") or name in ("", "help"):
            print(_usage())  # noqa: T201
            return 0
        if name not in COMMANDS:
            raise InvalidArgument(f"No help topic for '{name}'")
        module = importlib.import_module(f"tiffin.oci.commands.{name}")
        code = getattr(module, "FAILED", FAILED)
        flags = (*module.FLAGS, Flag("help", FLAG, "h", "show this help"))
        parsed = parse(flags, rest, mixed=name not in ENDED_BY_WORDS)
        if parsed.has("help"):
            print(_command_usage(name, module.WORDS, flags))  # noqa: T201
            return 0
        store, is_systemd = Store(_root(chosen)), chosen.has("systemd-cgroup")
        log.debug(f"{name}: {parsed.values} {parsed.words}")
        return int(
            module.run(Call(name, parsed, log, store, is_systemd, bool(chosen.text("root"))))
        )
    except (TiffinError, OSError) as error:
        log.error(plain(error))
        return code


def plain(error: Exception) -> str:
    """Return an error's text without what only Docker's clients are used to."""
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()
        return f"{error.filename}: {reason}" if error.filename else reason
    text = str(error)
    for marker in ("OCI runtime create failed: ", "OCI runtime exec failed: "):
        _, found, after = text.partition(marker)
        if found:
            text = after.removesuffix(": unknown")
    return text


def _log(chosen: Parsed) -> Log:
    form = chosen.text("log-format", "text")
    if form not in ("text", "json"):
        raise InvalidArgument(f"invalid log-format: {form}")
    return Log(chosen.text("log"), form == "json", chosen.has("debug"))


def _root(chosen: Parsed) -> Path:
    if chosen.text("root"):
        return Path(chosen.text("root")).absolute()
    if os.geteuid() == 0:
        return Path("/run/tiffin-runtime")
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/tiffin-runtime-{os.geteuid()}"
    return Path(runtime) / "tiffin-runtime"


def _usage() -> str:
    lines = ["NAME:", "   tiffin-runtime - Open Container Initiative runtime", "", "USAGE:",
             "   tiffin-runtime [global options] command [command options] [arguments...]", "",
             "VERSION:", f"   {__version__}", f"   spec: {OCI_VERSION}", "", "COMMANDS:"]  # fmt: skip
    lines += [f"   {name:<11} {text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "GLOBAL OPTIONS:", *_shown(GLOBALS)])


def _command_usage(name: str, words: str, flags: Sequence[Flag]) -> str:
    lines = ["NAME:", f"   tiffin-runtime {name} - {COMMANDS[name]}", "", "USAGE:",
             f"   tiffin-runtime {name} [command options] {words}", "", "OPTIONS:"]  # fmt: skip
    return "\n".join([*lines, *_shown(flags)])


def _shown(flags: Sequence[Flag]) -> list[str]:
    lines = []
    for flag in flags:
        names = f"--{flag.name}" + (f", -{flag.short}" if flag.short else "")
        lines.append(f"   {names + ('' if flag.kind == FLAG else ' value'):<30} {flag.help}")
    return lines


def missing(container_id: str) -> NotFound:
    """Return the error of a container that is not there."""
    return NotFound(f"container {container_id} does not exist")
