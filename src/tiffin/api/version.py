"""API versions: parsing, comparing, and the range that this engine speaks."""

from typing import NamedTuple

from tiffin.errors import InvalidArgument


class ApiVersion(NamedTuple):
    """A version such as 1.44; compares with plain tuples: `version < (1, 44)`."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> "ApiVersion":
        """Parse `major.minor`; further or missing parts are ignored as Docker does."""
        parts = text.split(".")
        try:
            major, minor = int(parts[0]), int(parts[1]) if len(parts) > 1 else 0
        except ValueError as error:
            raise InvalidArgument(f"invalid API version: {text!r}") from error
        return cls(major, minor)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MINIMUM = ApiVersion(1, 24)
MAXIMUM = ApiVersion(1, 50)
DEFAULT = MAXIMUM
"""What a request without a version prefix gets."""


def check_supported(version: ApiVersion, text: str | None = None) -> ApiVersion:
    """Return `version` if this engine speaks it; InvalidArgument in Docker's words otherwise.

    `text` is what the client wrote, if that is to be quoted.
    """
    shown = text or str(version)
    if version > MAXIMUM:
        raise InvalidArgument(
            f"client version {shown} is too new. Maximum supported API version is {MAXIMUM}"
        )
    if version < MINIMUM:
        raise InvalidArgument(
            f"client version {shown} is too old. Minimum supported API version is {MINIMUM},"
            " please upgrade your client to a newer version"
        )
    return version
