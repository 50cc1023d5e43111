"""Which repositories there are."""

from tiffin.distribution import layout
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.storage.driver import StorageDriver
from tiffin.errors import NotFound


class Catalog:
    """The names of all repositories."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def names(self) -> list[str]:
        """Return all names, sorted."""
        prefix = layout.CATALOG
        return sorted(
            [
                layout.unescape(info.key.removeprefix(prefix))
                async for info in self._driver.list(prefix)
            ]
        )

    async def check(self, repository: str) -> None:
        """Return if the repository exists; NAME_UNKNOWN."""
        try:
            await self._driver.stat(layout.catalog(repository))
        except NotFound:
            detail = {"name": repository}
            raise DistributionError(Code.NAME_UNKNOWN, detail=detail) from None
