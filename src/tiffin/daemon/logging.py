"""The daemon's log: one line per record, `time=… level=… msg="…" key=value`, or JSON.

Records carry their fields by `extra`: `log.info("pulled", extra={"image": name})`.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
_NAMES = {"WARNING": "warning", "CRITICAL": "fatal"}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+:,%[]")


def set_up(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send all records of `level` (Docker's word for it) and above to `stream` (stderr)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """Change the level of a running daemon."""
    logging.getLogger().setLevel(_LEVELS[level])
    # asyncio's own debug lines say nothing about the engine.
    logging.getLogger("asyncio").setLevel(max(_LEVELS[level], logging.WARNING))


class TextFormatter(logging.Formatter):
    """`key=value` lines; values are quoted where they need to be."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and the traceback's lines as one quoted field."""
        return " ".join(f"{key}={_quoted(value)}" for key, value in _fields(self, record).items())


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one object."""
        return json.dumps(_fields(self, record), default=str)


def _fields(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        "level": _NAMES.get(record.levelname, record.levelname.lower()),
        "msg": record.getMessage(),
    }
    fields.update({k: v for k, v in record.__dict__.items() if k not in _STANDARD})
    if record.exc_info and record.exc_info[0] is not None:
        fields["error"] = str(record.exc_info[1])
        fields["trace"] = formatter.formatException(record.exc_info)
    return fields


def _quoted(value: object) -> str:
    text = str(value)
    if text and all(character in _PLAIN for character in text):
        return text
    return json.dumps(text, ensure_ascii=False)
