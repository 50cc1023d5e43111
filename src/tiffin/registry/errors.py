"""What registries answer when they refuse, in the words that Docker's users know."""

import json
from dataclasses import dataclass

from tiffin.errors import FailedPrecondition

_BY_STATUS = {
    401: ("UNAUTHORIZED", "authentication required"),
    403: ("DENIED", "requested access to the resource is denied"),
    404: ("NOT_FOUND", ""),
    405: ("UNSUPPORTED", "The operation is unsupported."),
    413: ("SIZE_INVALID", "request entity too large"),
    429: ("TOOMANYREQUESTS", "too many requests"),
}


class RegistryError(FailedPrecondition):
    """A registry refused or could not be reached.

    `code` is the distribution spec's error code (`MANIFEST_UNKNOWN`, …), "" if there was no
    answer; `status` the HTTP status, 0 if there was none; `retry_after_s` how long it asked to wait
    before the next attempt, 0 if it did not. Callers that know which image was asked for turn it
    into a message about that image.
    """

    def __init__(
        self, message: str, *, code: str = "", status: int = 0, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.retry_after_s = retry_after_s


class Unreachable(RegistryError):
    """No HTTP answer came: refused, unknown host, TLS failure, broken connection."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One entry of the spec's `errors` array."""

    code: str
    message: str

    def __str__(self) -> str:
        words = self.code.replace("_", " ").lower()
        return f"{words}: {self.message}" if self.message else words


def refusal(status: int, body: bytes) -> Refusal:
    """Return the first error of a structured body, else what the status says."""
    code, message = _BY_STATUS.get(status, ("", ""))
    try:
        document = json.loads(body)
        entry = document["errors"][0] if document.get("errors") else document
        if document.get("errors"):
            found = str(entry.get("code") or code or "UNKNOWN"), str(entry.get("message") or "")
            return Refusal(*found)
        detail = document.get("details") or document.get("message") or document.get("error")
        if isinstance(detail, str) and code:
            return Refusal(code, detail)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        pass  # a proxy's HTML page, or nothing: the status has to do
    if code:
        return Refusal(code, message)
    text = body[:200].decode("utf-8", "replace").strip()
    return Refusal("UNKNOWN", f"received unexpected HTTP status: {status}" + (text and f": {text}"))
