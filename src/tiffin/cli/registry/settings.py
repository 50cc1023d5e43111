"""The flags that say which registry is meant, and its configuration from flags and file."""

import os
from typing import TYPE_CHECKING, Any

from tiffin.cli.command import CommandFailed
from tiffin.cli.flags import Flag, Values, string
from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from tiffin.distribution.config import Config

FLAGS: list[Flag] = [
    string("config", "Configuration file (TOML)"),
    string("root", "Directory that holds the registry"),
    string("s3", 'Keep content in an S3 bucket ("bucket[/prefix]")'),
    string("s3-endpoint", "URL of the S3-compatible service"),
    string("s3-region", "Region of the bucket"),
]


def absolute(path: str) -> str:
    """Return `path` seen from the root, as the server may run elsewhere; links stay as they are."""
    from pathlib import Path

    return os.path.normpath(Path.cwd() / path)


def given(values: Values) -> dict[str, Any]:
    """Return what the flags say, nested as in the file."""
    out: dict[str, Any] = {}
    if values["root"]:
        out["root"] = absolute(values["root"])
    storage = {
        key: values[flag]
        for key, flag in (("s3", "s3"), ("endpoint", "s3-endpoint"), ("region", "s3-region"))
        if values[flag]
    }
    return out | ({"storage": storage} if storage else {})


def load(values: Values, over: dict[str, Any]) -> "Config":
    """Return the whole configuration; CommandFailed."""
    from pathlib import Path

    from tiffin.distribution import config_file

    file = Path(absolute(values["config"])) if values["config"] else None
    try:
        return config_file.load(file, over)
    except TiffinError as error:
        raise CommandFailed(str(error)) from error
