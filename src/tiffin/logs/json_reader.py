"""The reading half of the `json-file` driver.

Whole logs go out by `stream`, which takes records apart by position (our own writer's layout),
joins their texts still escaped and unescapes a whole block at once. A record of any other layout
is parsed as JSON; what is no record (a torn write) is left out.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]
from pathlib import Path
from urllib.parse import quote_plus

from tiffin.logs import json_format
from tiffin.logs.driver import LogFormat, LogQuery, LogRecord
from tiffin.logs.files import blocks
from tiffin.logs.times import fixed_width, parse_time
from tiffin.wire import stdcopy

_START = len(json_format.START)
_STREAM = b'","stream":"std'
_OUT = ord("o")
_TIME = b'"time":"'
_ATTRS = b'"attrs":'


@dataclass(frozen=True, slots=True)
class _Line:
    """A record taken apart: `text` is still escaped."""

    is_stdout: bool
    text: bytes
    time: str
    attributes: bytes


class JsonFileReader:
    """Reads the log at `path`, with its rotated files."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, query: LogQuery) -> Iterator[LogRecord]:
        """Yield what is there now, oldest first."""
        return (record for record in self._records(query, follow=False) if record is not None)

    def follow(self, query: LogQuery) -> Iterator[LogRecord | None]:
        """Yield what is there and then what comes; None: nothing now."""
        return self._records(query, follow=True)

    def stream(
        self, query: LogQuery, form: LogFormat, *, follow: bool = False
    ) -> Iterator[bytes | None]:
        """Yield the same as big portions of bytes, ready for the client; None as in `follow`."""
        simple = not (form.timestamps or form.details or query.since_ns or query.until_ns)
        for block in blocks(self._path, tail=query.tail, follow=follow):
            if block is None:
                yield None
                if _is_over(query):
                    return
                continue
            if simple:
                texts = _fast_texts(block)
            else:
                texts, ended = _formatted_texts(block, query, form)
            portion = _render(texts, query, form)
            if portion:
                yield portion
            if not simple and ended:
                return

    def _records(self, query: LogQuery, *, follow: bool) -> Iterator[LogRecord | None]:
        clock = _Clock()
        for block in blocks(self._path, tail=query.tail, follow=follow):
            if block is None:
                yield None
                if _is_over(query):
                    return
                continue
            for raw in block.splitlines():
                line = _take_apart(raw)
                if line is None:
                    continue
                time_ns = clock.parse(line.time)
                if query.until_ns and time_ns > query.until_ns:
                    return
                wanted = query.stdout if line.is_stdout else query.stderr
                if wanted and time_ns >= query.since_ns:
                    yield _record(line, time_ns)


def _is_over(query: LogQuery) -> bool:
    return bool(query.until_ns) and time.time_ns() > query.until_ns


class _Clock:
    """Parses times; those of one batch are the same, so the last one is remembered."""

    def __init__(self) -> None:
        self._text = ""
        self._time_ns = 0

    def parse(self, text: str) -> int:
        if text != self._text:
            try:
                self._time_ns = parse_time(text)
            except ValueError:
                self._time_ns = 0
            self._text = text
        return self._time_ns


def _take_apart(raw: bytes) -> _Line | None:
    at = raw.rfind(_STREAM)
    when = raw.rfind(_TIME, at)
    if not raw.startswith(json_format.START) or at < 0 or when < 0 or not raw.endswith(b'"}'):
        return _parse(raw)
    attrs = raw.find(_ATTRS, at, when)
    return _Line(
        raw[at + len(_STREAM)] == _OUT,
        raw[_START:at],
        raw[when + len(_TIME) : -2].decode(errors="replace"),
        raw[attrs + len(_ATTRS) : when - 1] if attrs >= 0 else b"",
    )


def _parse(raw: bytes) -> _Line | None:
    try:
        found = json.loads(raw)
        attributes = json.dumps(found["attrs"]).encode() if found.get("attrs") else b""
        text = json.dumps(str(found["log"]))[1:-1].encode()
        return _Line(found["stream"] == "stdout", text, str(found["time"]), attributes)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _unescape(text: bytes) -> bytes:
    try:
        unescaped: str = scanstring(text.decode(errors="replace") + '"', 0)[0]
    except ValueError:
        return b""
    return unescaped.encode(errors="replace")


def _record(line: _Line, time_ns: int) -> LogRecord:
    text = _unescape(line.text)
    attributes = json.loads(line.attributes) if line.attributes else {}
    stream = "stdout" if line.is_stdout else "stderr"
    return LogRecord(time_ns, stream, text, not text.endswith(b"\n"), attributes)


_Texts = list[tuple[bool, list[bytes]]]
"""Runs of one stream (true for stdout), and their texts, still escaped."""


def _fast_texts(block: bytes) -> _Texts:
    runs: _Texts = []
    current: list[bytes] = []
    was_stdout: bool | None = None
    for raw in block.split(b"\n"):
        at = raw.rfind(_STREAM)
        if at > 0 and raw[:_START] == json_format.START and raw[-2:] == b'"}':
            is_stdout, text = raw[at + 15] == _OUT, raw[_START:at]
        elif raw and (line := _parse(raw)):
            is_stdout, text = line.is_stdout, line.text
        else:
            continue
        if is_stdout is not was_stdout:
            current = []
            runs.append((is_stdout, current))
            was_stdout = is_stdout
        current.append(text)
    return runs


def _formatted_texts(block: bytes, query: LogQuery, form: LogFormat) -> tuple[_Texts, bool]:
    """Return the texts with time and attributes before them, and whether `until` was reached."""
    runs: _Texts = []
    clock = _Clock()
    for raw in block.splitlines():
        line = _take_apart(raw)
        if line is None:
            continue
        time_ns = clock.parse(line.time) if query.since_ns or query.until_ns else 0
        if query.until_ns and time_ns > query.until_ns:
            return runs, True
        if time_ns < query.since_ns:
            continue
        text = line.text
        if form.details:
            text = _details(line.attributes) + b" " + text
        if form.timestamps:
            text = fixed_width(line.time).encode() + b" " + text
        if not runs or runs[-1][0] is not line.is_stdout:
            runs.append((line.is_stdout, []))
        runs[-1][1].append(text)
    return runs, False


def _details(attributes: bytes) -> bytes:
    if not attributes:
        return b""
    found: dict[str, str] = json.loads(attributes)
    pairs = (f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(found.items()))
    return ",".join(pairs).encode()


def _render(texts: _Texts, query: LogQuery, form: LogFormat) -> bytes:
    portions: list[bytes] = []
    for is_stdout, run in texts:
        if not (query.stdout if is_stdout else query.stderr):
            continue
        payload = _unescape(b"".join(run))
        if payload:
            if form.framed:
                stream = stdcopy.STDOUT if is_stdout else stdcopy.STDERR
                portions.append(stdcopy.header(stream, len(payload)))
            portions.append(payload)
    return b"".join(portions)
