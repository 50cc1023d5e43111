"""Hooks: programs that a configuration has run at points of a container's life.

They are those of config.md, "POSIX-platform Hooks"; each gets the container's state as JSON on stdin.

    prestart, createRuntime   by the runtime, once the namespaces and mounts stand, before pivot_root
    createContainer           the same moment, by the child: in the container's namespaces
    startContainer            by the child, in the container's root, just before the program
    poststart, poststop       by the runtime, after start and delete
"""

import json
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from tiffin.runtime.executable import lowered
from tiffin.runtime.operation import Failed, Place

OCI_VERSION = "1.2.0"
_LONGEST_OUTPUT = 1 << 16


@dataclass(frozen=True, slots=True)
class Hook:
    """One program; `env` None is that of the caller, `timeout_s` 0 none."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None
    timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class Hooks:
    """A configuration's `hooks`."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()

    @property
    def has_runtime_hooks(self) -> bool:
        """Whether the child has to wait for hooks of the runtime."""
        return bool(self.prestart or self.create_runtime)


@dataclass(frozen=True, slots=True)
class Subject:
    """What hooks are told of the container."""

    id: str
    bundle: str
    annotations: Mapping[str, str]

    def state(self, status: str, pid: int) -> bytes:
        """Return the state as the specification has it (runtime.md, "State")."""
        state: dict[str, Any] = {
            "ociVersion": OCI_VERSION,
            "id": self.id,
            "status": status,
            "bundle": self.bundle,
        }
        if pid:
            state["pid"] = pid
        if self.annotations:
            state["annotations"] = dict(self.annotations)
        return json.dumps(state).encode()


def run_hooks(
    kind: str,
    hooks: Sequence[Hook],
    state: bytes,
    *,
    env: Sequence[str] | None = None,
    directory: int = -1,
) -> None:
    """Run the hooks of one kind in order; Failed with runc's words at the first that fails.

    `env` is for those that have none of their own, `directory` where they start.
    """
    for number, hook in enumerate(hooks):
        reason = _run(hook, state, env, directory)
        if reason:
            raise Failed(f"error running {kind} hook #{number}: {reason}")


def run_of_runtime(kind: str, hooks: Hooks, subject: Subject, pid: int) -> None:
    """Run those hooks of a kind that run in the runtime's own namespaces; Failed."""
    chosen, status = {
        "prestart": (hooks.prestart, "creating"),
        "createRuntime": (hooks.create_runtime, "creating"),
        "poststart": (hooks.poststart, "running"),
        "poststop": (hooks.poststop, "stopped"),
    }[kind]
    if not chosen:
        return
    state = subject.state(status, 0 if kind == "poststop" else pid)
    directory = os.open(subject.bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        run_hooks(kind, chosen, state, directory=directory)
    finally:
        os.close(directory)


@dataclass(frozen=True, slots=True)
class AwaitHooks:
    """Have the runtime run its hooks now, and wait for them."""

    def describe(self) -> str:
        """See `Operation`."""
        return "let the runtime run its hooks"

    def call(self) -> str:
        """See `Operation`."""
        return "recvmsg(parent)"

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        place.await_hooks()


@dataclass(frozen=True, slots=True)
class RunHooks:
    """Hooks that belong into the container's namespaces."""

    kind: str
    status: str
    hooks: tuple[Hook, ...]
    subject: Subject

    def describe(self) -> str:
        """See `Operation`."""
        return f"run the {self.kind} hooks"

    def call(self) -> str:
        """See `Operation`."""
        return "; ".join(f'execve("{hook.path}")' for hook in self.hooks)

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        directory = place.root.fd if place.has_root else -1
        state = self.subject.state(self.status, os.getpid())
        run_hooks(self.kind, self.hooks, state, env=place.env, directory=directory)


def _run(hook: Hook, state: bytes, env: Sequence[str] | None, directory: int) -> str:
    """Run one; return why it failed, "" if it did not."""
    inputs, outputs = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _become(hook, env, directory, inputs[0], outputs[1])
    os.close(inputs[0])
    os.close(outputs[1])
    try:
        output, is_late = _talk(hook, state, inputs[1], outputs[0])
    finally:
        os.close(outputs[0])
    if is_late:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if is_late:
        return f"hook ran past specified timeout of {hook.timeout_s}.0s"
    if code == 0:
        return ""
    how = f"exit status {code}" if code > 0 else f"signal: {signal.strsignal(-code)}"
    return f"{how}, output: {output.decode(errors='replace').strip()}"


def _talk(hook: Hook, state: bytes, stdin: int, stdout: int) -> tuple[bytes, bool]:
    """Feed the hook and read what it says until it ends; whether it took too long."""
    deadline = time.monotonic() + hook.timeout_s if hook.timeout_s else None
    os.set_blocking(stdin, False)
    poll = select.poll()
    poll.register(stdin, select.POLLOUT)
    poll.register(stdout, select.POLLIN)
    output = bytearray()
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            events = poll.poll(None if left is None else left * 1000)
            if not events:
                return bytes(output), True
            for fd, _ in events:
                if fd == stdin and stdin >= 0:
                    state = _feed(stdin, state)
                    if not state:
                        poll.unregister(stdin)
                        os.close(stdin)
                        stdin = -1
                elif fd == stdout:
                    chunk = os.read(stdout, _LONGEST_OUTPUT)
                    if not chunk:
                        return bytes(output), False
                    output += chunk[: _LONGEST_OUTPUT - len(output)]
    finally:
        if stdin >= 0:
            os.close(stdin)


def _feed(stdin: int, state: bytes) -> bytes:
    try:
        return state[os.write(stdin, state) :]
    except BlockingIOError:
        return state
    except BrokenPipeError:  # a hook need not read it
        return b""


def _become(
    hook: Hook, env: Sequence[str] | None, directory: int, stdin: int, stdout: int
) -> NoReturn:
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for number, fd in enumerate((stdin, stdout, stdout)):
            os.dup2(fd, number, inheritable=True)
        if directory >= 0:
            os.fchdir(directory)
        chosen = hook.env if hook.env is not None else env
        variables = None if chosen is None else dict(item.partition("=")[::2] for item in chosen)
        os.execve(
            hook.path,
            list(hook.args) or [hook.path],
            dict(os.environ) if variables is None else variables,
        )
    except OSError as error:
        os.write(2, os.fsencode(f"fork/exec {hook.path}: {lowered(error)}"))
    finally:
        os._exit(127)
