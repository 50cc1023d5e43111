import json

import pytest
from tests.unit.engine.containers.conftest import Make

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.engine.containers.links import describe, split_link
from tiffin.engine.containers.listing import ListOptions
from tiffin.engine.containers.service import Containers
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.testing.fake_engine import Lab


@pytest.mark.parametrize(
    ("link", "parts"),
    [
        ("db", ("db", "db")),
        ("db:data", ("db", "data")),
        ("/db:/web/data", ("db", "data")),
    ],
)
def test_the_parts_of_a_link(link: str, parts: tuple[str, str]) -> None:
    assert split_link(link) == parts


def test_a_linked_container_is_described() -> None:
    config = Config(exposed_ports={"6379/tcp": {}, "53/udp": {}}, env=["A=b=c", "HOME=/", "GONE"])
    assert list(describe("/web/my-db", "my-db", "10.0.0.2", config)) == [
        "MY_DB_PORT=udp://10.0.0.2:53",
        "MY_DB_PORT_53_UDP=udp://10.0.0.2:53",
        "MY_DB_PORT_53_UDP_ADDR=10.0.0.2",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_6379_TCP=tcp://10.0.0.2:6379",
        "MY_DB_PORT_6379_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_6379_TCP_PORT=6379",
        "MY_DB_PORT_6379_TCP_PROTO=tcp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=b=c",
    ]


async def test_links_follow_both_ends(lab: Lab, service: Containers, make: Make) -> None:
    database = await make("db", start=True, env=["A=b"])
    host = HostConfig(links=["db:store"])
    web = await make("web", start=True, host_config=host)
    assert service.find("web/store") is database
    assert [item.names for item in await service.list(ListOptions())] == [
        ["/web"],
        ["/db", "/web/store"],
    ]
    bundle = json.loads((lab.roots.task(web.id) / "config.json").read_bytes())
    assert "STORE_NAME=/web/store" in bundle["process"]["env"]
    await service.rename("web", "app")
    await service.rename("db", "base")
    assert (await service.inspect("app")).host_config.links == ["/base:/app/store"]
    assert service.find("app/store") is database
    with pytest.raises(NotFound):
        service.find("web/store")
    await service.remove("base", force=True)
    assert (await service.inspect("app")).host_config.links is None
    assert lab.context.registry.link_names(database.id) == []


async def test_links_that_cannot_be(service: Containers, make: Make) -> None:
    for link in ("nobody", "a:b:c", ""):
        with pytest.raises(InvalidArgument):
            await make("bad", host_config=HostConfig(links=[link]))
    await make("db")
    await make("web", host_config=HostConfig(links=["db"]))
    with pytest.raises(Conflict, match="Cannot link to a non running container: /db AS /web/db"):
        await service.start("web")
    await service.unlink("web/db")
    await service.start("web")
    with pytest.raises(NotFound):
        await service.unlink("web/db")
    with pytest.raises(Conflict):
        await service.unlink("web")
