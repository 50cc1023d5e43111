"""A registry to test, in this process, and a small client that says what it got."""

import hashlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from tiffin.distribution.config_file import load
from tiffin.distribution.service import serving
from tiffin.spec.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registry said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever it is
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The first error's code."""
        return str(self.json["errors"][0]["code"])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of `data`."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    """Return the descriptor of `data`."""
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def index_of(*manifests: bytes, **members: object) -> bytes:
    """Return an index."""
    entries = [descriptor(data, OCI_MANIFEST) for data in manifests]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **members}
    ).encode()


class RegistryLab:
    """Speaks with one registry; every path begins with `/`."""

    def __init__(self, base: str, session: aiohttp.ClientSession) -> None:
        self.base = URL(base)
        self.session = session
        self.headers: dict[str, str] = {}

    async def ask(
        self,
        method: str,
        path: str,
        data: Any = None,  # noqa: ANN401  # aiohttp's own union
        **headers: str,
    ) -> Answer:
        """Send a request; header names are given with underscores."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.base.join(URL(path, encoded=True))
        if isinstance(data, bytes) and data:
            data = io.BytesIO(data)
        async with self.session.request(
            method, url, data=data, headers=sent, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def push_blob(self, name: str, data: bytes) -> str:
        """Push a blob at once and return its digest."""
        digest = digest_of(data)
        answer = await self.ask(
            "POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data,
            Content_Type="application/octet-stream",
        )  # fmt: skip
        assert answer.status == 201, answer
        return digest

    async def push_manifest(
        self, name: str, reference: str, data: bytes, media_type: str = OCI_MANIFEST
    ) -> Answer:
        """Push a manifest; "" stands for its digest."""
        path = f"/v2/{name}/manifests/{reference or digest_of(data)}"
        return await self.ask("PUT", path, data, Content_Type=media_type)

    async def push_image(
        self, name: str, reference: str, *layers: bytes, **members: object
    ) -> bytes:
        """Push an image of these layers and return its manifest."""
        config = json.dumps({"architecture": "amd64", "os": "linux", "of": reference}).encode()
        for data in (config, *layers):
            await self.push_blob(name, data)
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, OCI_CONFIG),
            "layers": [descriptor(layer, OCI_LAYER) for layer in layers],
            **members,
        }
        data = json.dumps(manifest).encode()
        answer = await self.push_manifest(name, reference, data)
        assert answer.status == 201, answer
        return data


@asynccontextmanager
async def registry_lab(root: Path, **settings: object) -> AsyncIterator[RegistryLab]:
    """Serve a registry on a free port; `settings` are those of the configuration file."""
    given = {"listen": ["127.0.0.1:0"], "root": str(root), "log-format": "none"} | settings
    async with serving(load(None, given)) as [base], aiohttp.ClientSession() as session:
        yield RegistryLab(base, session)
