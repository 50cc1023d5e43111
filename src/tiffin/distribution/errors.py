"""The error codes of the distribution protocol (spec, Error Codes) and their usual statuses."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tiffin.errors import TiffinError


class Code(StrEnum):
    """What is wrong, in the spec's vocabulary."""

    BLOB_UNKNOWN = "BLOB_UNKNOWN"
    BLOB_UPLOAD_INVALID = "BLOB_UPLOAD_INVALID"
    BLOB_UPLOAD_UNKNOWN = "BLOB_UPLOAD_UNKNOWN"
    DIGEST_INVALID = "DIGEST_INVALID"
    MANIFEST_BLOB_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
    MANIFEST_INVALID = "MANIFEST_INVALID"
    MANIFEST_UNKNOWN = "MANIFEST_UNKNOWN"
    NAME_INVALID = "NAME_INVALID"
    NAME_UNKNOWN = "NAME_UNKNOWN"
    SIZE_INVALID = "SIZE_INVALID"
    UNAUTHORIZED = "UNAUTHORIZED"
    DENIED = "DENIED"
    UNSUPPORTED = "UNSUPPORTED"
    TOOMANYREQUESTS = "TOOMANYREQUESTS"
    UNKNOWN = "UNKNOWN"
    """Not in the spec: the fault is ours (a full disk, an unreachable store)."""
    UNAVAILABLE = "UNAVAILABLE"
    """Not in the spec: a registry behind us does not answer."""


_USUAL: Mapping[Code, tuple[int, str]] = {
    Code.BLOB_UNKNOWN: (404, "blob unknown to registry"),
    Code.BLOB_UPLOAD_INVALID: (400, "blob upload invalid"),
    Code.BLOB_UPLOAD_UNKNOWN: (404, "blob upload unknown to registry"),
    Code.DIGEST_INVALID: (400, "provided digest did not match uploaded content"),
    Code.MANIFEST_BLOB_UNKNOWN: (404, "manifest references a manifest or blob unknown to registry"),
    Code.MANIFEST_INVALID: (400, "manifest invalid"),
    Code.MANIFEST_UNKNOWN: (404, "manifest unknown to registry"),
    Code.NAME_INVALID: (400, "invalid repository name"),
    Code.NAME_UNKNOWN: (404, "repository name not known to registry"),
    Code.SIZE_INVALID: (400, "provided length did not match content length"),
    Code.UNAUTHORIZED: (401, "authentication required"),
    Code.DENIED: (403, "requested access to the resource is denied"),
    Code.UNSUPPORTED: (405, "the operation is unsupported"),
    Code.TOOMANYREQUESTS: (429, "too many requests"),
    Code.UNKNOWN: (500, "unknown error"),
    Code.UNAVAILABLE: (503, "service unavailable"),
}


class DistributionError(TiffinError):
    """A request is refused with `code` and `status`; `detail` is any JSON value.

    `headers` go with the answer (challenges, `Retry-After`).
    """

    def __init__(
        self,
        code: Code,
        message: str = "",
        *,
        status: int = 0,
        detail: Any = None,  # noqa: ANN401  # any JSON value
        headers: Mapping[str, str] | None = None,
    ) -> None:
        usual_status, usual_message = _USUAL[code]
        super().__init__(message or usual_message)
        self.code = code
        self.status = status or usual_status
        self.detail = detail
        self.headers = dict(headers or {})

    def to_json(self) -> dict[str, Any]:
        """Return one entry of the `errors` array."""
        entry: dict[str, Any] = {"code": self.code.value, "message": self.message}
        return entry if self.detail is None else entry | {"detail": self.detail}
