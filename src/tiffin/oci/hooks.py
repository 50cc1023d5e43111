"""Hooks that run when the process that made the container is gone."""

from pathlib import Path

from tiffin.oci.log import Log
from tiffin.oci.store import JsonObject, Record
from tiffin.runtime import config, hooks
from tiffin.runtime.hooks import Subject
from tiffin.runtime.operation import Failed


def run_poststart(record: Record, document: JsonObject) -> None:
    """Run the poststart hooks; Failed."""
    _run("poststart", record, document, record.pid)


def run_poststop(record: Record, document: JsonObject, log: Log) -> None:
    """Run the poststop hooks; what fails is a warning."""
    try:
        _run("poststop", record, document, 0)
    except (Failed, OSError) as error:
        log.warning(str(error))


def _run(kind: str, record: Record, document: JsonObject, pid: int) -> None:
    settings = config.parse(document, Path(record.bundle))
    if settings.hooks is not None:
        subject = Subject(record.id, record.bundle, settings.annotations)
        hooks.run_of_runtime(kind, settings.hooks, subject, pid)
