"""What all `inspect` commands share: several objects, one list, errors at the end."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tiffin.cli.command import CommandFailed
from tiffin.cli.table import print_objects
from tiffin.client.api import ApiError
from tiffin.wire.template_error import MalformedTemplate, TemplateError

Lookup = Callable[[str], Any]


def inspect(names: Sequence[str], lookup: Lookup, format_text: str) -> int:
    """Print what `lookup` finds for every name; 1 if any is missing or the template fails."""
    found: list[Any] = []
    faults: list[str] = []
    for name in names:
        try:
            found.append(lookup(name))
        except ApiError as error:
            faults.append(f"Error response from daemon: {error.message}")
        except CommandFailed as error:
            faults.append(error.message)
    if found or not format_text:
        try:
            print_objects(found, format_text)
        except TemplateError as error:
            if isinstance(error, MalformedTemplate):
                raise
            faults.append(f"template parsing error: {error}")
    for fault in faults:
        sys.stdout.flush()
        print(fault, file=sys.stderr)
    return int(bool(faults))
