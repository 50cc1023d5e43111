"""`ps`: the processes of a container, by their numbers on the host."""

import json
import subprocess
from collections.abc import Iterator, Sequence

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.oci.command import Call
from tiffin.oci.flags import Flag

WORDS = "<container-id> [ps options]"
FLAGS = (Flag("format", short="f", help='select one of: "table" or "json"'),)


def run(call: Call) -> int:
    """Print numbers, or what ps(1) says of them."""
    call.expect(1, None)
    pids = sorted(call.container().group.pids())
    form = call.parsed.text("format", "table")
    if form == "json":
        print(json.dumps(pids, separators=(",", ":")))  # noqa: T201
    elif form == "table":
        for line in table(pids, call.parsed.words[1:] or ["-ef"]):
            print(line)  # noqa: T201
    else:
        raise InvalidArgument("invalid format option")
    return 0


def table(pids: Sequence[int], options: Sequence[str]) -> Iterator[str]:
    """Yield the lines of ps(1), to which the options belong, that are about these processes."""
    done = subprocess.run(["ps", *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise FailedPrecondition(f"{done.stderr.strip() or 'ps failed'}")
    header, *lines = done.stdout.splitlines()
    if "PID" not in header.split():
        raise FailedPrecondition("couldn't find PID field in ps output")
    column, wanted = header.split().index("PID"), {str(pid) for pid in pids}
    yield header
    for line in lines:
        fields = line.split()
        if len(fields) > column and fields[column] in wanted:
            yield line
