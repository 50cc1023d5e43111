from collections.abc import Collection, Mapping, Sequence

import pytest
from tests.unit.server.server_serving import Serve

from tiffin.api.filters import Filters
from tiffin.api.types.volumes import Volume, VolumePruneReport
from tiffin.errors import Conflict, NotFound
from tiffin.server.routes.volumes import routes

VOLUME = Volume(
    name="data", driver="local", mountpoint="/v/data", created_at="2026-01-02T03:04:05Z"
)
WIRE = {
    "Name": "data", "Driver": "local", "Mountpoint": "/v/data", "Scope": "local", "Labels": None,
    "Options": None, "CreatedAt": "2026-01-02T03:04:05Z",
}  # fmt: skip


class FakeVolumes:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def create(
        self, name: str, driver: str, options: Mapping[str, str] | None,
        labels: Mapping[str, str] | None,
    ) -> Volume:  # fmt: skip
        self.calls.append(("create", name, driver, options, labels))
        return VOLUME

    async def list(self, filters: Filters) -> Sequence[Volume]:
        self.calls.append(("list", filters.get("name")))
        return [VOLUME]

    async def inspect(self, name: str) -> Volume:
        raise NotFound(f"get {name}: no such volume")

    async def remove(self, name: str, *, force: bool, undoable: bool) -> None:
        assert undoable
        self.calls.append(("remove", name, force))
        if not force:
            raise Conflict(f"remove {name}: volume is in use - [c]")

    async def preview_prune(
        self, filters: Filters, *, named: bool, gone: Collection[str]
    ) -> VolumePruneReport:
        self.calls.append(("preview", named, sorted(gone)))
        return VolumePruneReport()

    async def prune(self, filters: Filters, *, named: bool) -> VolumePruneReport:
        self.calls.append(("prune", named))
        return VolumePruneReport(volumes_deleted=["a"], space_reclaimed=5)


@pytest.fixture
def volumes() -> FakeVolumes:
    return FakeVolumes()


async def test_all_six(serve: Serve, volumes: FakeVolumes) -> None:
    client = (await serve(routes(volumes))).client
    async with client.get("/volumes", params={"filters": '{"name":{"da":true}}'}) as answer:
        assert await answer.json() == {"Volumes": [WIRE], "Warnings": None}
    body = {"name": "data", "Driver": "local", "DriverOpts": {"type": "none"}, "Labels": {"a": "b"}}
    async with client.post("/v1.40/volumes/create", json=body) as answer:
        assert (answer.status, await answer.json()) == (201, WIRE)
    async with client.post("/volumes/create", json={}) as answer:
        assert answer.status == 201
    async with client.get("/volumes/a/b") as answer:
        assert answer.status == 404
        assert await answer.json() == {"message": "get a/b: no such volume"}
    async with client.delete("/volumes/data") as answer:
        assert answer.status == 409
        assert await answer.json() == {"message": "remove data: volume is in use - [c]"}
    async with client.delete("/volumes/data", params={"force": "1"}) as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    async with client.post("/v1.42/volumes/prune") as answer:
        assert await answer.json() == {"VolumesDeleted": ["a"], "SpaceReclaimed": 5}
    async with client.post("/v1.41/volumes/prune") as answer:
        assert answer.status == 200
    async with client.put("/volumes/data", json={}) as answer:
        assert answer.status == 503
    assert volumes.calls == [
        ("list", ["da"]),
        ("create", "data", "local", {"type": "none"}, {"a": "b"}),
        ("create", "", "", None, None),
        ("remove", "data", False),
        ("remove", "data", True),
        ("prune", False),
        ("prune", True),
    ]


async def test_bad_requests(serve: Serve, volumes: FakeVolumes) -> None:
    client = (await serve(routes(volumes))).client
    for status, body in ((400, b"["), (400, b'{"Name": 5}'), (503, b'{"ClusterVolumeSpec": {}}')):
        headers = {"Content-Type": "application/json"}
        async with client.post("/volumes/create", data=body, headers=headers) as answer:
            assert answer.status == status
            assert (await answer.json())["message"]
    async with client.get("/volumes", params={"filters": "nonsense"}) as answer:
        assert answer.status == 400
    assert volumes.calls == []
