"""`build`: an image from a Dockerfile."""

import io
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from tiffin.cli import human, progress
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.containers.kinds import ULIMIT
from tiffin.cli.credentials import registry_config
from tiffin.cli.flags import (
    BYTES,
    STRINGS,
    Flag,
    Kind,
    UsageError,
    Values,
    boolean,
    integer,
    listing,
    string,
)
from tiffin.cli.images.build_context import open_context
from tiffin.cli.images.pull import check_reference
from tiffin.cli.parse_env import key_values
from tiffin.client.api import ApiError


def _parse_name(text: str) -> str:
    try:
        check_reference(text)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return text


SENDING = "Sending build context to Docker daemon "
ANNOUNCE_EVERY = 512 * 1024
NAME = Kind("list", _parse_name, repeats=True)


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Send the context, print the log; the image's id alone with `--quiet`."""
    held = io.StringIO()
    try:
        return _build(context, values, arguments[0], held if values["quiet"] else sys.stdout)
    except (ApiError, CommandFailed):
        # With `--quiet` only a failure shows what went before it.
        sys.stderr.write(held.getvalue())
        raise


def _build(context: Context, values: Values, path: str, out: TextIO) -> int:
    sent = open_context(path, values["file"])
    query = {**_query(values), "dockerfile": sent.dockerfile, "remote": sent.remote}
    headers = {"Content-Type": "application/x-tar", **registry_config(context)}
    if sent.stream is None:
        response = context.api.call("POST", "/build", query, headers=headers)
    else:
        stream = _announced(sent.stream, out)
        response = context.api.call("POST", "/build", query, stream=stream, headers=headers)
    messages: Iterable[dict[str, Any]] = response.objects()
    if values["quiet"]:
        messages = _only_the_end(messages, out)
    try:
        aux = progress.show(messages)
    except CommandFailed as error:
        code = _exit_code(error.message)
        raise CommandFailed(error.message, code) from error
    identifier = next((str(item["ID"]) for item in reversed(aux) if "ID" in item), "")
    if values["iidfile"] and identifier:
        Path(values["iidfile"]).write_text(identifier)
    return 0


def _announced(blocks: Iterable[bytes], out: TextIO) -> Iterator[bytes]:
    """Pass the context on and say how large it is: as it grows, on a terminal."""
    moving = out.isatty()
    total = shown = 0
    for block in blocks:
        yield block
        total += len(block)
        if moving and total - shown >= ANNOUNCE_EVERY:
            shown = total
            out.write(f"{SENDING}{human.size(total):>8}\r")
            out.flush()
    out.write(f"{SENDING}{human.size(total):>8}\r\r\n")
    out.flush()


def _only_the_end(messages: Iterable[dict[str, Any]], out: TextIO) -> Iterator[dict[str, Any]]:
    """Hold output back: it is shown only if the build fails."""
    held: list[str] = []
    for message in messages:
        if "stream" in message:
            held.append(message["stream"])
            continue
        if "errorDetail" in message:
            out.write("".join(held))
        if "aux" in message or "errorDetail" in message:
            yield message
    if held:
        yield {"stream": held[-1]}


def _exit_code(message: str) -> int:
    match = re.search(r"returned a non-zero code: (\d+)", message)
    return int(match[1]) if match else 1


def _query(values: Values) -> dict[str, object]:
    return {
        "t": values["tag"],
        "nocache": values["no-cache"],
        "q": values["quiet"],
        "rm": "1" if values["rm"] else "0",
        "forcerm": values["force-rm"],
        "pull": values["pull"],
        "buildargs": _build_args(values["build-arg"]),
        "labels": key_values(values["label"]),
        "cachefrom": values["cache-from"] and _json_list(values["cache-from"]),
        "extrahosts": [text.replace("=", ":", 1) for text in values["add-host"]],
        "networkmode": values["network"],
        "target": values["target"],
        "platform": values["platform"],
        "memory": values["memory"] or None,
        "memswap": values["memory-swap"] or None,
        "shmsize": values["shm-size"] or None,
        "cpushares": values["cpu-shares"],
        "cpuperiod": values["cpu-period"],
        "cpuquota": values["cpu-quota"],
        "cpusetcpus": values["cpuset-cpus"],
        "cpusetmems": values["cpuset-mems"],
        "cgroupparent": values["cgroup-parent"],
        "squash": values["squash"],
        "ulimits": _json_list(values["ulimit"]),
        "version": "1",
    }


def _json_list(items: Sequence[object]) -> str:
    import json

    return json.dumps(items) if items else ""


def _build_args(texts: Sequence[str]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        found[name] = value if equals else os.environ.get(name)
    return found


COMMAND = Command(
    synopsis="[OPTIONS] PATH | URL | -",
    summary="Build an image from a Dockerfile",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        listing("add-host", 'Add a custom host-to-IP mapping ("host:ip")'),
        listing("build-arg", "Set build-time variables"),
        Flag("cache-from", STRINGS, "Images to consider as cache sources"),
        string("cgroup-parent", 'Set the parent cgroup for the "RUN" instructions during build'),
        boolean("compress", "Compress the build context using gzip"),
        integer("cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period"),
        integer("cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
        integer("cpu-shares", "CPU shares (relative weight)", "c"),
        string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
        string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
        boolean("disable-content-trust", "Skip image verification", default=True),
        string("file", 'Name of the Dockerfile (Default is "PATH/Dockerfile")', "f"),
        boolean("force-rm", "Always remove intermediate containers"),
        string("iidfile", "Write the image ID to the file"),
        string("isolation", "Container isolation technology"),
        listing("label", "Set metadata for an image"),
        Flag("memory", BYTES, "Memory limit", "m", 0),
        Flag("memory-swap", BYTES,
             "Swap limit equal to memory plus swap: -1 to enable unlimited swap", default=0),
        string("network", "Set the networking mode for the RUN instructions during build",
               default="default"),
        boolean("no-cache", "Do not use cache when building the image"),
        string("platform", "Set platform if server is multi-platform capable"),
        boolean("pull", "Always attempt to pull a newer version of the image"),
        boolean("quiet", "Suppress the build output and print image ID on success", "q"),
        boolean("rm", "Remove intermediate containers after a successful build", default=True),
        Flag("security-opt", STRINGS, "Security options"),
        Flag("shm-size", BYTES, 'Size of "/dev/shm"', default=0),
        boolean("squash", "Squash newly built layers into a single new layer"),
        listing("tag", 'Name and optionally a tag in the "name:tag" format', "t", NAME),
        string("target", "Set the target build stage to build."),
        listing("ulimit", "Ulimit options", kind=ULIMIT),
    ],
)  # fmt: skip
