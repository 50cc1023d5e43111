"""For those who run the registry: is it well, and what does it do."""

import asyncio

from aiohttp import web

from tiffin.distribution.http.metrics import Metrics
from tiffin.distribution.storage.driver import StorageDriver

_PATIENCE_S = 5.0


class Operations:
    """Handlers of `/healthz` and `/metrics`."""

    def __init__(self, driver: StorageDriver, metrics: Metrics) -> None:
        self._driver = driver
        self._metrics = metrics

    async def health(self, request: web.Request) -> web.Response:
        """Tell whether the storage answers: 200 or 503."""
        del request
        try:
            await asyncio.wait_for(self._driver.check(), _PATIENCE_S)
        except (OSError, TimeoutError) as error:
            return web.json_response({"status": "failing", "storage": str(error)}, status=503)
        return web.json_response({"status": "ok"})

    async def metrics(self, request: web.Request) -> web.Response:
        """Return Prometheus' text format."""
        del request
        return web.Response(
            body=self._metrics.render().encode(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )
