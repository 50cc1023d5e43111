"""Downloads by http and https for ADD and remote contexts, driven from the builder's threads."""

import asyncio
import hashlib
import os
import posixpath
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tiffin.build.executor import Cancellation
from tiffin.build.fetch import Fetched
from tiffin.engine.build.bridge import run_in_loop
from tiffin.errors import InvalidArgument, Unavailable

CONNECT_TIMEOUT_S = 30
IDLE_TIMEOUT_S = 120
CHUNK = 1 << 20
_DISPOSITION = re.compile(r'filename\*?=(?:UTF-8\'\')?"?([^";]+)"?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HttpFetcher:
    """Fetches in the event loop on behalf of a thread; proxies come from the environment."""

    loop: asyncio.AbstractEventLoop
    cancellation: Cancellation

    def fetch(self, url: str, directory: Path) -> Fetched:
        """Download into a file below `directory`; Unavailable or InvalidArgument."""
        return run_in_loop(self.loop, lambda: _fetch(url, directory), self.cancellation)


async def _fetch(url: str, directory: Path) -> Fetched:
    # aiohttp's client is loaded by the first download: idle daemons need none.
    import aiohttp

    timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT_S, sock_read=IDLE_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True, auto_decompress=False) as client,
            client.get(url, headers={"Accept-Encoding": "identity"}) as response,
        ):
            if response.status != 200:
                raise InvalidArgument(
                    f"failed to GET {url} with status {response.status} {response.reason}: "
                    f"invalid response status {response.status}"
                )
            place = directory / "download"
            digest = hashlib.sha256()
            with place.open("xb") as file:
                async for chunk in response.content.iter_chunked(CHUNK):
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            headers = response.headers
            return Fetched(
                place,
                _name(headers.get("Content-Disposition", ""), str(response.url)),
                digest.hexdigest(),
                headers.get("Content-Type", ""),
                _modified(headers.get("Last-Modified", "")),
            )
    except aiohttp.InvalidURL as error:
        raise InvalidArgument(f"invalid URL {url}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"failed to GET {url}: {str(error) or 'timeout'}") from error


def _name(disposition: str, url: str) -> str:
    match = _DISPOSITION.search(disposition)
    name = unquote(match[1]) if match else unquote(posixpath.basename(urlsplit(url).path))
    return os.path.basename(name.strip()).replace("\0", "")  # noqa: PTH119  # not a path yet


def _modified(text: str) -> int | None:
    try:
        return int(parsedate_to_datetime(text).timestamp()) if text else None
    except ValueError:
        return None
