"""One request on its way to an endpoint."""

from dataclasses import dataclass

from aiohttp import web

from tiffin.distribution.access.gate import Visit
from tiffin.distribution.http.target import Target


@dataclass(frozen=True, slots=True)
class Call:
    """A request, what it is about, and who asks."""

    request: web.Request
    target: Target
    visit: Visit

    @property
    def repository(self) -> str:
        """The name of the repository."""
        return self.target.name
