"""What all `inspect` commands share: several objects, one list, errors at the end."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from tiffin.cli.table import print_objects
from tiffin.cli.template import TemplateError
from tiffin.client.api import ApiError

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
    if found or not format_text:
        try:
            print_objects(found, format_text)
        except TemplateError as error:
            faults.append(str(error))
    for fault in faults:
        sys.stdout.flush()
        print(fault, file=sys.stderr)
    return int(bool(faults))
