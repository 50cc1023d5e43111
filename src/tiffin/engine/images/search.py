"""`docker search`: an index of repositories, or where a registry has none, its catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiffin.api.filters import Filters
from tiffin.engine.images.access import RegistryAccess
from tiffin.errors import InvalidArgument, Unimplemented
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import endpoints
from tiffin.registry.errors import RegistryError, Unreachable

FILTERS = frozenset(("is-official", "is-automated", "stars"))
INDEX = "index.docker.io"
DEFAULT_LIMIT = 25
MAX_LIMIT = 100
_NO_INDEX = frozenset({400, 404, 405})


@dataclass(frozen=True, slots=True)
class Search:
    """One question."""

    term: str
    limit: int
    filters: Filters
    credentials: Credentials = ANONYMOUS

    async def run(self, access: RegistryAccess) -> list[Mapping[str, Any]]:
        """Return what matches; InvalidArgument, Unimplemented if there is nothing to search."""
        passes = _Passes.parse(self.filters)
        if not 0 <= self.limit <= MAX_LIMIT:
            raise InvalidArgument(f"invalid limit {self.limit}: must be between 1 and {MAX_LIMIT}")
        host, query = _split(self.term, access.options.default or INDEX)
        limit = self.limit or DEFAULT_LIMIT
        results = [_result(item) for item in await self._ask(access, host, query, limit)]
        return [item for item in results if item and passes.result(item)][:limit]

    async def _ask(
        self, access: RegistryAccess, host: str, query: str, limit: int
    ) -> Sequence[object]:
        failure = ""
        for endpoint in await endpoints(host, access.options, mirrors=False):
            client = RegistryClient(
                endpoint, self.credentials, user_agent=access.user_agent, retry=access.retry,
                patience=access.patience,
            )  # fmt: skip
            try:
                async with client:
                    return await _from_registry(client, query, limit)
            except (RegistryError, InvalidArgument) as error:
                failure = str(error)
                if not isinstance(error, Unreachable):
                    break
        raise Unimplemented(f"no index to search at {host}: {failure}")


async def _from_registry(client: RegistryClient, query: str, limit: int) -> Sequence[object]:
    try:
        return await client.search(query, limit)
    except RegistryError as error:
        if error.status not in _NO_INDEX:
            raise
    names = await client.catalog()
    return [{"name": f"{client.endpoint.host}/{name}"} for name in names if query in name]


@dataclass(frozen=True, slots=True)
class _Passes:
    """The filters, checked."""

    is_official: bool | None
    is_automated: bool
    stars: int

    @classmethod
    def parse(cls, filters: Filters) -> "_Passes":
        filters.validate(FILTERS)
        stars = 0
        for text in filters.get("stars"):
            if not (text.isascii() and text.isdecimal()):
                raise InvalidArgument(f"invalid filter 'stars={text}'")
            stars = max(stars, int(text[:18]))
        official = filters.boolean("is-official") if "is-official" in filters else None
        automated = "is-automated" in filters and filters.boolean("is-automated")
        return cls(official, automated, stars)

    def result(self, item: Mapping[str, Any]) -> bool:
        if self.is_automated:  # nothing is any more, whatever an index says
            return False
        if self.is_official is not None and self.is_official is not item["is_official"]:
            return False
        return bool(item["star_count"] >= self.stars)


def _split(term: str, index: str) -> tuple[str, str]:
    """Return the host to ask and what for."""
    if "://" in term:
        raise InvalidArgument(
            f"invalid repository name: repository name ({term}) should not have a scheme"
        )
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return index, term.removeprefix("library/")


def _result(raw: object) -> Mapping[str, Any]:
    """Return one result in the API's form, {} if it is none."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("name"), str):
        return {}
    stars = raw.get("star_count")
    return {
        "star_count": stars if isinstance(stars, int) else 0,
        "is_official": raw.get("is_official") is True,
        "name": raw["name"],
        "is_automated": False,
        "description": str(raw.get("description") or ""),
    }
