"""What the options `tag`, `labels`, `labels-regex`, `env` and `env-regex` add to each record."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tiffin.errors import InvalidArgument

SHORT_ID = 12
_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class LogSubject:
    """The container that a log belongs to, as tags and attributes may name it."""

    id: str
    name: str = ""
    image_id: str = ""
    image_name: str = ""
    command: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    env: tuple[str, ...] = ()


def attributes(options: Mapping[str, str], subject: LogSubject) -> dict[str, str]:
    """Return the attributes that `options` ask for; InvalidArgument for a bad tag or pattern."""
    found: dict[str, str] = {}
    env = dict(item.split("=", 1) for item in subject.env if "=" in item)
    found.update(_named(options.get("labels", ""), subject.labels))
    found.update(_matching(options.get("labels-regex", ""), subject.labels))
    found.update(_named(options.get("env", ""), env))
    found.update(_matching(options.get("env-regex", ""), env))
    if options.get("tag"):
        found["tag"] = expand_tag(options["tag"], subject)
    return found


def expand_tag(template: str, subject: LogSubject) -> str:
    """Return the tag, its `{{.Field}}`s replaced."""
    fields = {
        "ID": subject.id[:SHORT_ID],
        "FullID": subject.id,
        "Name": subject.name.removeprefix("/"),
        "ImageID": subject.image_id.removeprefix("sha256:")[:SHORT_ID],
        "ImageFullID": subject.image_id,
        "ImageName": subject.image_name,
        "DaemonName": "docker",
        "Command": PurePosixPath(subject.command).name,
    }

    def value(match: re.Match[str]) -> str:
        if match[1] not in fields:
            raise InvalidArgument(f"invalid log tag {template!r}: there is no field {match[1]!r}")
        return fields[match[1]]

    return _FIELD.sub(value, template)


def _named(names: str, values: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return [(name, values[name]) for name in names.split(",") if name in values]


def _matching(pattern: str, values: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    if not pattern:
        return []
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidArgument(f"invalid log option pattern {pattern!r}: {error}") from error
    return [(name, value) for name, value in values.items() if compiled.search(name)]
