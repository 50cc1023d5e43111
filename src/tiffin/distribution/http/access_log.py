"""The access log: one line per request, as JSON or as text."""

import json
import sys
import time
from typing import TextIO

from aiohttp import web

from tiffin.distribution.http.app import VISITOR

_TEXT_LIMIT = 300


class AccessLog:
    """Writes to `out`; `form` is `json`, `text` or `none`."""

    def __init__(self, form: str = "text", out: TextIO | None = None) -> None:
        self._form = form
        self._out = out or sys.stderr

    def write(self, request: web.Request, status: int, sent: int, seconds: float) -> None:
        """Note one request; `sent` is the length of the answer's body."""
        if self._form == "none":
            return
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "remote": request.remote or "",
            "user": request.get(VISITOR, ""),
            "method": request.method,
            "path": request.path_qs[:_TEXT_LIMIT],
            "status": status,
            "bytes": sent,
            "duration_ms": round(seconds * 1000, 2),
            "user_agent": request.headers.get("User-Agent", "")[:_TEXT_LIMIT],
        }
        self._out.write(self._line(entry))
        self._out.flush()

    def _line(self, entry: dict[str, object]) -> str:
        if self._form == "json":
            return json.dumps(entry) + "\n"
        agent = json.dumps(entry["user_agent"])
        return (
            f"{entry['time']} {entry['remote'] or '-'} {entry['user'] or '-'} {entry['method']} "
            f"{entry['path']} {entry['status']} {entry['bytes']} {entry['duration_ms']}ms {agent}\n"
        )
