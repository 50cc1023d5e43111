import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tiffin.api.types.containers import CreateRequest
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.service import Containers
from tiffin.testing.fake_engine import Lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    await lab.context.store.close()
    lab.snapshotter.close()
    lab.database.close()


@pytest.fixture
async def service(lab: Lab) -> AsyncIterator[Containers]:
    service = Containers(lab.context)
    yield service
    await service.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other tasks bring about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # there is no event for an arbitrary condition
            await asyncio.sleep(0.005)


class Make:
    """Creates containers of the image `bb`."""

    def __init__(self, service: Containers) -> None:
        self.service = service

    async def __call__(
        self, name: str = "", *, start: bool = False, **members: object
    ) -> Container:
        request = CreateRequest(image="bb", **members)  # type: ignore[arg-type]
        created = await self.service.create(request, name)
        if start:
            await self.service.start(created.id)
        return self.service.find(created.id)


@pytest.fixture
def make(service: Containers) -> Make:
    return Make(service)
