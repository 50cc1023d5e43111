"""`exec`: one more process in a running container."""

import json
from typing import Any

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.oci import creation
from tiffin.oci.command import Call
from tiffin.oci.container import PAUSED, STOPPED
from tiffin.oci.flags import FLAG, LIST, NUMBER, Flag
from tiffin.oci.foreground import Foreground
from tiffin.oci.store import FILTERS
from tiffin.oci.sub_cgroups import join_files
from tiffin.runtime import config, console_socket
from tiffin.runtime.config_process import parse_process
from tiffin.runtime.exec import Container, execute_in
from tiffin.runtime.hooks import Subject
from tiffin.runtime.programs import Programs
from tiffin.runtime.runtime import Process

WORDS = "<container-id> <command> [command options]  || -p process.json <container-id>"
FAILED = 255
FLAGS = (
    Flag("console-socket", help="socket that receives the master of the console's terminal"),
    Flag("pidfd-socket", help="socket that receives a pidfd of the process"),
    Flag("cwd", help="current working directory in the container"),
    Flag("env", LIST, "e", "set an environment variable"),
    Flag("tty", FLAG, "t", "allocate a pseudo-TTY"),
    Flag("user", short="u", help="UID (format: <uid>[:<gid>])"),
    Flag("additional-gids", LIST, "g", "additional group id"),
    Flag("process", short="p", help="path to a process.json"),
    Flag("detach", FLAG, "d", "detach from the process"),
    Flag("pid-file", help="file to write the process id to"),
    Flag("process-label", help="SELinux label of the process"),
    Flag("apparmor", help="AppArmor profile of the process"),
    Flag("no-new-privs", FLAG, help="set no_new_privs"),
    Flag("cap", LIST, "c", "add a capability to all sets of the process"),
    Flag("preserve-fds", NUMBER, help="pass so many additional descriptors to the process"),
    Flag("cgroup", LIST, help="run the process in a control group below the container's"),
    Flag("ignore-paused", FLAG, help="allow exec in a paused container"),
    Flag("no-subreaper", FLAG, help="accepted"),
)


def run(call: Call) -> int:
    """Execute it; return its exit code, or 0 with `--detach`."""
    call.expect(1, None)
    container = call.container()
    status = container.status()
    if status == STOPPED:
        raise FailedPrecondition("cannot exec in a stopped container")
    if status == PAUSED and not call.parsed.has("ignore-paused"):
        raise FailedPrecondition(
            "cannot exec in a paused container (use --ignore-paused to override)"
        )
    document = call.store.config(container.record.id)
    process = _process(call, document["process"])
    detached = call.parsed.has("detach")
    creation.check_console(call, terminal=bool(process.get("terminal")), detached=detached)
    with Foreground() as foreground:
        made = _launch(call, document, process, container.open())
        if call.parsed.text("console-socket"):
            creation.hand_over(call.parsed.text("console-socket"), made.console)
        if call.parsed.text("pidfd-socket"):
            console_socket.send(call.parsed.text("pidfd-socket"), made.pidfd, "pidfd")
        if call.parsed.text("pid-file"):
            creation.write_pid_file(call.parsed.text("pid-file"), made.pid)
        return 0 if detached else foreground.attend(made)


def _launch(
    call: Call, document: dict[str, Any], process: dict[str, Any], descriptor: int
) -> Process:
    record = call.store.load(call.parsed.words[0])
    settings = config.parse(document, call.store.directory(record.id))
    program = Programs(call.store.root / FILTERS).program(settings.seccomp)
    group = open_group(record.cgroup)
    target = Container(
        descriptor, group, settings, program,
        preserved=creation.preserved(call), frozen_is_fine=call.parsed.has("ignore-paused"),
        subject=Subject(record.id, record.bundle, settings.annotations), init_pid=record.pid,
        join_files=join_files(group.path, call.parsed.texts("cgroup")),
    )  # fmt: skip
    parsed = parse_process(process)
    stdio = creation.terminal_stdio(call) if parsed.terminal else creation.INHERITED
    creation.reset_affinity()
    return execute_in(target, parsed, stdio, call.log.warning)


def _process(call: Call, first: dict[str, Any]) -> dict[str, Any]:
    """Return the OCI process that the flags describe, by that of the container."""
    parsed = call.parsed
    if parsed.text("process"):
        try:
            with open(parsed.text("process"), "rb") as file:
                found = json.load(file)
        except ValueError as error:
            raise InvalidArgument(f"{parsed.text('process')}: {error}") from error
        return config.section(found, "process")
    if len(parsed.words) < 2:
        raise InvalidArgument("exec args cannot be empty")
    process = {**first, "args": parsed.words[1:], "terminal": parsed.has("tty")}
    if parsed.text("cwd"):
        process["cwd"] = parsed.text("cwd")
    if parsed.text("apparmor"):
        process["apparmorProfile"] = parsed.text("apparmor")
    if parsed.text("process-label"):
        process["selinuxLabel"] = parsed.text("process-label")
    if "no-new-privs" in parsed.values:
        process["noNewPrivileges"] = parsed.has("no-new-privs")
    process["env"] = [*(process.get("env") or []), *parsed.texts("env")]
    process["user"] = _user(call, process.get("user") or {})
    process["capabilities"] = _capabilities(call, process.get("capabilities") or {})
    return process


def _user(call: Call, user: dict[str, Any]) -> dict[str, Any]:
    user, text = dict(user), call.parsed.text("user")
    try:
        if text:
            uid, _, gid = text.partition(":")
            user["uid"] = int(uid)
            if gid:
                user["gid"] = int(gid)
        groups = [
            int(item) for word in call.parsed.texts("additional-gids") for item in word.split(",")
        ]
    except ValueError as error:
        raise InvalidArgument(f"parsing {text or 'additional gids'} failed: {error}") from None
    user["additionalGids"] = [*(user.get("additionalGids") or []), *groups]
    return user


def _capabilities(call: Call, sets: dict[str, list[str]]) -> dict[str, list[str]]:
    extra = call.parsed.texts("cap")
    if not extra:
        return sets
    # As runc does: ambient ones only where they are inheritable already.
    kinds = ["bounding", "effective", "permitted"]
    if sets.get("inheritable"):
        kinds += ["inheritable", "ambient"]
    return {**sets, **{kind: [*(sets.get(kind) or []), *extra] for kind in kinds}}
