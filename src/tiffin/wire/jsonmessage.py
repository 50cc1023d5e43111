"""The lines of progress streams: pull, push, load, build, import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_BAR = 50
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class JsonMessage:
    """One line. `current` and `total` are bytes; `total` 0 means not known.

    `aux` is a machine-readable object next to the text, `error` ends the stream.
    """

    status: str = ""
    id: str = ""
    current: int = 0
    total: int = 0
    stream: str = ""
    aux: Mapping[str, Any] | None = None
    error: str = ""
    has_progress: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        if self.error:
            return {"errorDetail": {"message": self.error}, "error": self.error}
        out: dict[str, Any] = {}
        if self.stream:
            out["stream"] = self.stream
        if self.status:
            out["status"] = self.status
        if self.has_progress:
            out["progressDetail"] = self._detail()
            if text := progress_text(self.current, self.total):
                out["progress"] = text
        if self.id:
            out["id"] = self.id
        if self.aux is not None:
            out["aux"] = dict(self.aux)
        return out

    def _detail(self) -> dict[str, int]:
        members = {"current": self.current, "total": self.total}
        return {key: value for key, value in members.items() if value > 0}


def status(text: str, layer: str = "") -> JsonMessage:
    """Return a line of text; for a layer it carries an empty progress, as Docker sends it."""
    return JsonMessage(status=text, id=layer, has_progress=bool(layer))


def progress(text: str, layer: str, current: int, total: int) -> JsonMessage:
    """Return the state of a transfer."""
    return JsonMessage(status=text, id=layer, current=current, total=total, has_progress=True)


def progress_text(current: int, total: int) -> str:
    """Return the bar that clients of old print as it is; "" if nothing has happened yet."""
    if current <= 0 and total <= 0:
        return ""
    if total <= 0 or current > total:
        return f"{human_size(current):>8}"
    filled = min(current * 100 // total // 2, _BAR)
    head = "=" * filled + (">" if filled < _BAR else "")
    bar = f"[{head}{' ' * (_BAR - len(head))}] "
    return f"{bar}{human_size(current):>8}/{human_size(total)}"


def human_size(size: float) -> str:
    """Return a size in decimal units with four significant digits, as Docker prints it."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.4g}{_UNITS[unit]}"
