"""`image verify`: find what the disk has damaged."""

import sys

from tiffin.cli import progress
from tiffin.cli.command import Command, Context
from tiffin.cli.credentials import registry_auth
from tiffin.cli.flags import Values, boolean


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Verify the images named, or all; 1 if something is wrong and stays so."""
    query = {"name": arguments, "repair": values["repair"]}
    headers = registry_auth(context, arguments[0]) if arguments and values["repair"] else {}
    response = context.api.call("POST", "/images/verify", query, headers=headers)
    problems = [problem for aux in progress.show(response.objects()) for problem in aux["Problems"]]
    left = [problem for problem in problems if not problem["Repaired"]]
    for problem in left:
        shown = ", ".join(problem["Names"]) or problem["ImageID"]
        print(f"{shown}: {problem['Role']} {problem['Digest']} is {problem['Fault']}",
              file=sys.stderr)  # fmt: skip
    if not problems:
        print("Everything is as it was.")
    return int(bool(left))


COMMAND = Command(
    synopsis="[OPTIONS] [IMAGE...]",
    summary="Compare what is stored of images with their digests",
    run=run,
    flags=[boolean("repair", "Fetch again what is damaged or missing")],
)
