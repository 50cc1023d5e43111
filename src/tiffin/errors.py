"""The closed set of errors that carry a meaning everywhere in Tiffin.

Each class says what is the case, not where it happened. They are raised with a message that quotes
the object and, where clients read it, uses Docker's wording. They become an HTTP status in one
place (`server/status.py`) and to an exit code in one place (`cli`). Anything else that escapes
is a bug.
"""


class TiffinError(Exception):
    """Base of all errors that are part of a contract.

    `message` is shown to the user as it stands; `hint`, when given, says what to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class InvalidArgument(TiffinError):
    """The request itself is malformed; repeating it cannot help (400)."""


class Unauthorized(TiffinError):
    """Credentials are missing or wrong (401)."""


class PermissionDenied(TiffinError):
    """The caller or this engine may not do that (403)."""


class NotFound(TiffinError):
    """The named object does not exist (404)."""


class AlreadyExists(TiffinError):
    """An object of that name or digest exists (409)."""


class Conflict(TiffinError):
    """The object is in use or in a state that forbids the operation (409)."""


class FailedPrecondition(TiffinError):
    """The system is not in the state that the operation needs (500 at the API, as Docker does)."""


class NotModified(TiffinError):
    """The object already is what was asked for (304)."""


class Unavailable(TiffinError):
    """A needed service (registry, shim, spawner) does not answer now; retrying may help (503)."""


class Unimplemented(TiffinError):
    """A known operation that this engine, kernel or configuration does not offer (501)."""


class Cancelled(TiffinError):
    """The caller went away or asked to stop (499)."""


class DataLoss(TiffinError):
    """Stored bytes do not match their digest or record (500)."""
