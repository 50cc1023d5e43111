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
from operator import itemgetter
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
_FEW = 8
_MOST_HEADERS = 4096
_LEAST_PART = json_format.PARTIAL_SIZE - 3
"""A shorter record without a newline is where a process has ended."""


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
        render = _Renderer(query, form)
        simple = not (form.timestamps or form.details or query.since_ns or query.until_ns)
        unfinished: set[bool] = set()
        for block in blocks(self._path, tail=query.tail, follow=follow):
            if block is None:
                yield None
                if _is_over(query):
                    return
                continue
            is_over = False
            if simple:
                runs = _plain_runs(block)
            else:
                runs, is_over = _formatted_runs(block, query, form, unfinished)
            portion = render(runs)
            if portion:
                yield portion
            if is_over:
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


_Run = tuple[bool, list[bytes]]
"""Output of one stream (true for stdout), split at its newlines: the last item is what follows one."""


def _plain_runs(block: bytes) -> list[_Run]:
    """Return the output in whole records, in order.

    Records that were written together differ in nothing but their text, so that a few passes in C
    take all of them apart. Where few were, it is one by one.
    """
    runs: list[_Run] = []
    at, size = 0, len(block)
    while at < size:
        end = block.find(b"\n", at) + 1 or size
        line = _take_apart(block[at : end - 1])
        if line is None or not _ends_in_newline(line.text) or block[end - 1 : end] != b"\n":
            return runs + _mixed_runs(block[at:])
        ending = block[at + _START + len(line.text) - 2 : end]
        end = _last_alike(block, at, end, ending)
        raws = block[at : end - 1].split(b"\n")
        texts = list(map(itemgetter(slice(_START, 1 - len(ending))), raws))
        together = (ending + json_format.START).join(texts)
        if len(texts) < _FEW or not block.startswith(
            b"".join((json_format.START, together, ending)), at
        ):
            return runs + _mixed_runs(block[at:])
        if b"\\" in b"".join(texts):
            texts = _unescape_lines(texts)
        else:
            texts.append(b"")
        runs.append((line.is_stdout, texts))
        at = end
    return runs


def _last_alike(block: bytes, at: int, end: int, ending: bytes) -> int:
    """Return the end of the last record with that ending, of those that may follow the first.

    The window grows with the run: what lies beyond it is not looked at again and again.
    """
    size = 64 * (end - at)
    while True:
        last = block.rfind(ending, at, at + size) + len(ending)
        if last - at <= size // 2 or at + size >= len(block):
            return last
        size *= 2


def _mixed_runs(block: bytes) -> list[_Run]:
    r"""Return the output in whole records of any kind, in order.

    Most records end in `\n` and like the one before; they are taken out by two comparisons and a
    slice, joined by real newlines, and only looked at again if there are other escapes.
    """
    runs: list[_Run] = []
    texts: list[bytes] = []
    take, start = texts.append, json_format.START
    is_stdout, ending, cut = True, b"", -1
    for raw in block.split(b"\n"):
        if raw[cut:] == ending and raw[:_START] == start:  # quicker than the methods
            take(raw[_START:cut])
            continue
        if texts:
            runs.append((is_stdout, _unescape_lines(texts)))
            texts.clear()
        line = _take_apart(raw) if raw else None
        if line is None:
            continue
        is_stdout = line.is_stdout
        if raw.startswith(start) and _ends_in_newline(line.text):
            ending = raw[_START + len(line.text) - 2 :]
            cut = -len(ending)
            take(raw[_START:cut])
        else:
            runs.append((is_stdout, _unescape(line.text).split(b"\n")))
    if texts:
        runs.append((is_stdout, _unescape_lines(texts)))
    return runs


def _ends_in_newline(text: bytes) -> bool:
    # An even number of backslashes before the n are escaped backslashes.
    return text.endswith(b"\\n") and (len(text[:-1]) - len(text[:-1].rstrip(b"\\"))) % 2 == 1


def _unescape_lines(texts: list[bytes]) -> list[bytes]:
    """Return lines without their newlines, and the nothing after the last one."""
    joined = b"\n".join(texts) + b"\n"
    if b"\\" not in joined:
        return joined.split(b"\n")
    try:
        unescaped: str = scanstring(joined.decode(errors="replace") + '"', 0, False)[0]
    except ValueError:
        # One was no whole line: it ended in an escaped backslash and an n.
        return b"".join(_unescape(text + b"\\n") for text in texts).split(b"\n")
    return unescaped.encode(errors="replace").split(b"\n")


def _formatted_runs(
    block: bytes, query: LogQuery, form: LogFormat, unfinished: set[bool]
) -> tuple[list[_Run], bool]:
    """Return the lines with time and attributes before them, and whether `until` was reached.

    `unfinished` are the streams whose last line goes on in the next record.
    """
    runs: list[tuple[bool, list[bytes]]] = []
    clock = _Clock()
    is_over = False
    for raw in block.splitlines():
        line = _take_apart(raw)
        if line is None:
            continue
        time_ns = clock.parse(line.time) if query.since_ns or query.until_ns else 0
        is_over = bool(query.until_ns) and time_ns > query.until_ns
        if is_over:
            break
        if time_ns < query.since_ns:
            continue
        text = line.text
        begins = line.is_stdout not in unfinished
        if len(text) >= _LEAST_PART and not _ends_in_newline(text):
            unfinished.add(line.is_stdout)
        else:
            unfinished.discard(line.is_stdout)
        if form.details and begins:
            text = _details(line.attributes) + b" " + text
        if form.timestamps and begins:
            text = fixed_width(line.time).encode() + b" " + text
        if not runs or runs[-1][0] is not line.is_stdout:
            runs.append((line.is_stdout, []))
        runs[-1][1].append(text)
    lines = [(is_stdout, _unescape(b"".join(texts)).split(b"\n")) for is_stdout, texts in runs]
    return lines, is_over


def _details(attributes: bytes) -> bytes:
    if not attributes:
        return b""
    found: dict[str, str] = json.loads(attributes)
    pairs = (f"{quote_plus(name)}={quote_plus(value)}" for name, value in sorted(found.items()))
    return ",".join(pairs).encode()


class _Headers(dict[int, bytes]):
    """By a line's length, without its newline: the newline of the line before, and its header."""

    def __init__(self, stream: int) -> None:
        self._stream = stream

    def __missing__(self, length: int) -> bytes:
        if len(self) >= _MOST_HEADERS:
            self.clear()
        self[length] = b"\n" + stdcopy.header(self._stream, length + 1)
        return self[length]

    def frames(self, lines: list[bytes]) -> list[bytes]:
        """Return one frame for each line, in pieces: some clients take a frame for a line."""
        last = lines.pop()
        pieces: list[bytes] = []
        if lines:
            pieces = [b""] * (2 * len(lines))
            pieces[0::2] = map(self.__getitem__, map(len, lines))
            pieces[1::2] = lines
            pieces[0] = pieces[0][1:]
            pieces.append(b"\n")
        return [*pieces, stdcopy.header(self._stream, len(last)), last] if last else pieces


class _Renderer:
    """Makes of runs what a client wants to have of them."""

    def __init__(self, query: LogQuery, form: LogFormat) -> None:
        wanted = {True: query.stdout, False: query.stderr}
        numbers = {True: stdcopy.STDOUT, False: stdcopy.STDERR}
        self._headers = {key: _Headers(numbers[key]) for key in numbers if wanted[key]}
        self._framed = form.framed

    def __call__(self, runs: list[_Run]) -> bytes:
        pieces: list[bytes] = []
        for is_stdout, lines in runs:
            headers = self._headers.get(is_stdout)
            if headers is not None:
                pieces += headers.frames(lines) if self._framed else [b"\n".join(lines)]
        return b"".join(pieces)
