"""What the command has to say besides its output: lines in the form of runc's logger.

Whoever runs a runtime reads the reason of a failure from there (`--log`, `--log-format json`).
"""

import json
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Log:
    """Writes to a file, or to stderr if `path` is ""."""

    path: str = ""
    as_json: bool = False
    is_verbose: bool = False

    def debug(self, text: str) -> None:
        """Say what is done."""
        if self.is_verbose:
            self._write("debug", text)

    def warning(self, text: str) -> None:
        """Say what was not granted; not on stderr, which is the container's, unless asked to."""
        if self.path or self.is_verbose:
            self._write("warning", text)

    def error(self, text: str) -> None:
        """Say why the command fails, to whoever looks where."""
        self._write("error", text)
        if self.path:
            print(text, file=sys.stderr)  # noqa: T201

    def _write(self, level: str, text: str) -> None:
        line = self._line(level, text)
        if not self.path:
            sys.stderr.write(line)
            return
        try:
            with open(self.path, "a", encoding="utf-8", errors="replace") as file:
                file.write(line)
        except OSError as error:
            sys.stderr.write(f"{line}cannot write the log: {error}\n")

    def _line(self, level: str, text: str) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.as_json:
            return json.dumps({"level": level, "msg": text, "time": now}) + "\n"
        return f'time="{now}" level={level} msg={json.dumps(text, ensure_ascii=False)}\n'
