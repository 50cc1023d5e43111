"""What the options `tag`, `labels`, `labels-regex`, `env` and `env-regex` add to each record."""

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiffin.errors import InvalidArgument

SHORT_ID = 12
DEFAULT_TAG = "{{.ID}}"
"""Of drivers that send logs elsewhere; the others have a tag only if one is asked for."""
_DAEMON = "docker"
_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class LogSubject:
    """The container that a log belongs to, as tags and attributes may name it."""

    id: str
    name: str = ""
    image_id: str = ""
    image_name: str = ""
    entrypoint: str = ""
    args: tuple[str, ...] = ()
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    env: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The whole command line."""
        return " ".join([self.entrypoint, *self.args])


def attributes(options: Mapping[str, str], subject: LogSubject) -> dict[str, str]:
    """Return what each record of a log file is to have, the tag too; InvalidArgument."""
    found = extra_attributes(options, subject)
    if options.get("tag"):
        found["tag"] = expand_tag(options["tag"], subject)
    return found


def extra_attributes(options: Mapping[str, str], subject: LogSubject) -> dict[str, str]:
    """Return the labels and variables that `options` name; InvalidArgument for a bad pattern."""
    found: dict[str, str] = {}
    env = dict(item.split("=", 1) for item in subject.env if "=" in item)
    found.update(_named(options.get("labels", ""), subject.labels))
    found.update(_matching(options.get("labels-regex", ""), subject.labels))
    found.update(_named(options.get("env", ""), env))
    found.update(_matching(options.get("env-regex", ""), env))
    return found


def expand_tag(template: str, subject: LogSubject) -> str:
    """Return the tag, a Go template, filled in; InvalidArgument in the words of Go."""
    fields = _fields(subject)
    if not _FIELD.sub("", template).count("{{"):
        names = _FIELD.findall(template)
        if all(isinstance(fields.get(name), str) for name in names):
            return _FIELD.sub(lambda match: str(fields[match[1]]), template)
    from tiffin.wire.template import Template, TemplateError  # 8 ms that plain tags do not pay

    try:
        return Template(template).render(fields)
    except TemplateError as error:
        raise InvalidArgument(str(error).replace("template: ", "template: log-tag", 1)) from error


def log_source(options: Mapping[str, str], subject: LogSubject) -> dict[str, object]:
    """Return the fields of `remote.LogSource`; InvalidArgument."""
    return {
        "id": subject.id,
        "name": subject.name.removeprefix("/"),
        "image_id": subject.image_id,
        "image_name": subject.image_name,
        "command": subject.command,
        "created": subject.created,
        "tag": expand_tag(options.get("tag") or DEFAULT_TAG, subject),
        "attributes": extra_attributes(options, subject),
    }


def _fields(subject: LogSubject) -> dict[str, object]:
    from tiffin.wire.gotypes import GoMap

    return {
        "ID": subject.id[:SHORT_ID],
        "FullID": subject.id,
        "Name": subject.name.removeprefix("/"),
        "ImageID": subject.image_id.removeprefix("sha256:")[:SHORT_ID],
        "ImageFullID": subject.image_id,
        "ImageName": subject.image_name,
        "Command": subject.command,
        "Hostname": socket.gethostname(),
        "DaemonName": _DAEMON,
        "ContainerID": subject.id,
        "ContainerName": f"/{subject.name.removeprefix('/')}",
        "ContainerEntrypoint": subject.entrypoint,
        "ContainerArgs": list(subject.args),
        "ContainerImageID": subject.image_id,
        "ContainerImageName": subject.image_name,
        "ContainerCreated": subject.created,
        "ContainerLabels": GoMap(subject.labels),
        "ContainerEnv": list(subject.env),
    }


def _named(names: str, values: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return [(name, values[name]) for name in names.split(",") if name in values]


def _matching(pattern: str, values: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    if not pattern:
        return []
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InvalidArgument(f"error parsing regexp: {error}: `{pattern}`") from error
    return [(name, value) for name, value in values.items() if compiled.search(name)]
