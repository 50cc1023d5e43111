"""Routes of networks, served with a service that notes what it is asked."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.server.server_serving import Serve, Served

from tiffin.api.filters import Filters
from tiffin.api.types.networks import (
    EndpointSettings,
    Network,
    NetworkContainer,
    NetworkCreateRequest,
)
from tiffin.engine.networks.contract import ConnectTarget, ContainerNetworks
from tiffin.errors import NotFound
from tiffin.server.routes.networks import routes
from tiffin.spec.ids import ContainerId

SHOP = Network(
    name="shop",
    id="a" * 64,
    created="2026-01-01T00:00:00.000000000Z",
    containers={"c" * 64: NetworkContainer(name="web")},
)
LISTED = Network(name="shop", id="a" * 64, created=SHOP.created)


class Service:
    """Both services that the routes need."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def inspect(self, reference: str) -> Network:
        self.asked.append(("inspect", reference))
        if reference not in (SHOP.name, SHOP.id):
            raise NotFound(f"network {reference} not found")
        return SHOP

    async def create(self, request: NetworkCreateRequest) -> Network:
        self.asked.append(("create", request))
        return SHOP

    async def remove(self, reference: str) -> None:
        self.asked.append(("remove", reference))

    async def connect(
        self, reference: str, target: ConnectTarget, settings: EndpointSettings | None
    ) -> None:
        self.asked.append(("connect", reference, target.container.name, settings))

    async def disconnect(self, reference: str, target: ConnectTarget) -> None:
        self.asked.append(("disconnect", reference, target.container.name))

    async def disconnect_gone(self, reference: str, container: str) -> None:
        self.asked.append(("disconnect_gone", reference, container))

    async def prune(self, filters: Filters, until_ns: int | None = None) -> Sequence[str]:
        self.asked.append(("prune", filters.get("label"), until_ns))
        return ["old"] if until_ns else []

    async def preview_prune(self, filters: Filters, until_ns: int | None = None) -> Sequence[str]:
        self.asked.append(("preview", filters.get("label"), until_ns))
        return ["old"]

    async def connect_target(self, reference: str) -> ConnectTarget:
        if reference != "web":
            raise NotFound(f"No such container: {reference}")
        return ConnectTarget(ContainerNetworks(ContainerId("c" * 64), "web"))

    async def list(self, filters: Filters) -> list[Network]:
        self.asked.append(("list", filters.get("driver")))
        return [LISTED]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def served(serve: Serve, service: Service) -> Served:
    return await serve(routes(service, service))


async def test_list(served: Served, service: Service) -> None:
    reply = await served.client.get("/v1.50/networks", params={"filters": '{"driver":["bridge"]}'})
    (shown,) = await reply.json()
    assert service.asked == [("list", ["bridge"])]
    assert shown == {
        "Name": "shop",
        "Id": "a" * 64,
        "Created": "2026-01-01T00:00:00.000000000Z",
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": []},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


async def test_old_clients_list_containers_too(served: Served) -> None:
    (shown,) = await (await served.client.get("/v1.27/networks")).json()
    assert shown["Containers"]["c" * 64]["Name"] == "web"


async def test_inspect(served: Served) -> None:
    assert (await (await served.client.get("/networks/shop")).json())["Id"] == "a" * 64
    assert (await served.client.get("/networks/shop?scope=local")).status == 200
    assert (await served.client.get("/networks/shop?scope=swarm")).status == 404
    missing = await served.client.get("/networks/nope")
    assert (missing.status, await missing.json()) == (404, {"message": "network nope not found"})


async def test_create(served: Served, service: Service) -> None:
    body = {
        "name": "shop",
        "CheckDuplicate": True,
        "EnableIPv4": False,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.0.0/24"}], "Options": None},
        "Options": None,
    }
    reply = await served.client.post("/v1.47/networks/create", json=body)
    assert (reply.status, await reply.json()) == (201, {"Id": "a" * 64, "Warning": ""})
    request = service.asked[0][1]
    assert (request.name, request.ipam.config[0].subnet) == ("shop", "10.0.0.0/24")
    assert request.enable_ipv4 is None
    await served.client.post("/v1.48/networks/create", json=body)
    assert service.asked[1][1].enable_ipv4 is False
    broken = await served.client.post("/networks/create", json={"Name": 7})
    assert broken.status == 400


async def test_remove(served: Served, service: Service) -> None:
    assert (await served.client.delete("/v1.50/networks/shop")).status == 204
    assert service.asked == [("remove", "shop")]


async def test_connect(served: Served, service: Service) -> None:
    body = {
        "Container": "web",
        "EndpointConfig": {"Aliases": ["www"], "MacAddress": "02:42:00:00:00:01"},
    }
    assert (await served.client.post("/networks/shop/connect", json=body)).status == 200
    action, reference, name, settings = service.asked[0]
    assert (action, reference, name) == ("connect", "shop", "web")
    assert (settings.aliases, settings.mac_address) == (["www"], "02:42:00:00:00:01")
    await served.client.post("/v1.43/networks/shop/connect", json=body)
    assert service.asked[1][3].mac_address == ""
    missing = await served.client.post("/networks/shop/connect", json={"Container": "x"})
    assert missing.status == 404
    assert (await served.client.post("/networks/shop/connect", json={})).status == 400


async def test_disconnect(served: Served, service: Service) -> None:
    url = "/networks/shop/disconnect"
    assert (await served.client.post(url, json={"Container": "web", "Force": True})).status == 200
    assert (await served.client.post(url, json={"Container": "gone"})).status == 404
    assert (await served.client.post(url, json={"Container": "gone", "Force": True})).status == 200
    assert service.asked == [
        ("disconnect", "shop", "web"),
        ("disconnect_gone", "shop", "gone"),
    ]


async def test_prune(served: Served, service: Service) -> None:
    reply = await served.client.post("/networks/prune")
    assert await reply.json() == {"NetworksDeleted": None}
    filters = '{"until":{"2026-01-01T00:00:00Z":true},"label":["a"]}'
    reply = await served.client.post("/networks/prune", params={"filters": filters})
    assert await reply.json() == {"NetworksDeleted": ["old"]}
    assert service.asked == [("prune", [], None), ("prune", ["a"], 1_767_225_600 * 10**9)]
    assert (await served.client.post("/v1.24/networks/prune")).status == 404
