"""`--platform` as the API wants it where an image has several: an object, not words."""

import json
from collections.abc import Iterable

from tiffin.cli.flags import UsageError
from tiffin.errors import InvalidArgument
from tiffin.spec.platform import parse_platform


def as_object(text: str) -> str:
    """Return `os[/arch[/variant]]` as a JSON object, "" for nothing; UsageError."""
    if not text:
        return ""
    try:
        platform = parse_platform(text)
    except InvalidArgument as error:
        raise UsageError(f"invalid platform: {error}") from error
    members = {
        "architecture": platform.architecture, "os": platform.os, "variant": platform.variant,
    }  # fmt: skip
    return json.dumps({key: value for key, value in members.items() if value})


def as_objects(texts: Iterable[str]) -> list[str]:
    """Return each as an object."""
    return [as_object(text) for text in texts]
