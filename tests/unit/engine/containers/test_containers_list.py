import json
import time

import pytest
from tests.unit.engine.containers.conftest import Make

from tiffin.api.filters import Filters
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.networks import PortBinding, PortMap
from tiffin.engine.containers.listing import ListOptions, encode, human_status
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.service import Containers
from tiffin.engine.containers.status import Status
from tiffin.errors import InvalidArgument, NotFound
from tiffin.testing.fake_engine import Lab


async def names(service: Containers, **filters: str) -> list[str]:
    wanted = Filters({key.replace("_", "-"): [value] for key, value in filters.items()})
    found = await service.list(ListOptions(every=True, filters=wanted))
    return [item.names[0] for item in found]


async def test_the_list(service: Containers, make: Make) -> None:
    await make("old", labels={"a": "1"})
    bindings: PortMap = {"80/tcp": [PortBinding(host_port="8080")]}
    await make(
        "new", start=True, cmd=["sh", "-c", "a b"], exposed_ports={"81/tcp": {}},
        host_config=HostConfig(port_bindings=bindings, binds=["data:/data"]),
    )  # fmt: skip
    running = json.loads(encode(list(await service.list(ListOptions()))))
    assert len(running) == 1
    shown = running[0]
    assert shown["Names"] == ["/new"]
    assert shown["Command"] == "sh -c 'a b'"
    assert shown["State"] == "running"
    assert shown["Status"].startswith("Up ")
    assert {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"} in shown["Ports"]
    assert {"PrivatePort": 81, "Type": "tcp"} in shown["Ports"]
    assert shown["NetworkSettings"]["Networks"]["bridge"]["NetworkID"] == "net1"
    assert shown["HostConfig"] == {"NetworkMode": "bridge"}
    assert shown["Mounts"][0]["Name"] == "data"
    assert "SizeRw" not in shown
    every = await service.list(ListOptions(every=True))
    assert [item.names[0] for item in every] == ["/new", "/old"]
    limited = await service.list(ListOptions(limit=1))
    assert [item.names[0] for item in limited] == ["/new"]
    sized = json.loads(encode(list(await service.list(ListOptions(size=True)))))
    assert "SizeRw" in sized[0]


async def test_filters(lab: Lab, service: Containers, make: Make) -> None:
    one = await make("one", labels={"a": "1"}, start=True)
    lab.tasks.last.end(3)
    assert one.supervisor is not None
    await one.supervisor
    await make("two", labels={"a": "2"}, exposed_ports={"80/tcp": {}})
    host = HostConfig(binds=["data:/data"], port_bindings={"90/udp": [PortBinding(host_port="99")]})
    await make("three", host_config=host, start=True)
    assert await names(service, label="a") == ["/two", "/one"]
    assert await names(service, label="a=1") == ["/one"]
    assert await names(service, name="t") == ["/three", "/two"]
    assert await names(service, name="^/one$") == ["/one"]
    assert await names(service, id=one.id[:20]) == ["/one"]
    assert await names(service, status="exited") == ["/one"]
    assert await names(service, exited="3") == ["/one"]
    assert await names(service, exited="0") == []
    assert await names(service, before="two") == ["/one"]
    assert await names(service, since="two") == ["/three"]
    assert await names(service, volume="data") == ["/three"]
    assert await names(service, volume="/data") == ["/three"]
    assert await names(service, expose="80") == ["/two"]
    assert await names(service, publish="99/udp") == ["/three"]
    assert await names(service, network="bridge") == ["/three", "/two", "/one"]
    assert await names(service, network="other") == []
    assert await names(service, ancestor="bb") == ["/three", "/two", "/one"]
    assert await names(service, ancestor="nope") == []
    assert await names(service, health="none") == ["/three", "/two", "/one"]
    assert await names(service, is_task="true") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", "x"), ("exited", "x"), ("health", "x"), ("publish", "x"), ("nope", "x")],
)
async def test_bad_filters(service: Containers, key: str, value: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid filter"):
        await names(service, **{key: value})


async def test_filters_that_name_what_does_not_exist(service: Containers) -> None:
    with pytest.raises(NotFound):
        await names(service, before="nope")


async def test_a_thousand(service: Containers, make: Make) -> None:
    first = await make("first")
    for number in range(1000):
        container = Container(first.spec, f"c{number}")
        object.__setattr__(container, "spec", _renumbered(first, number))
        service._context.registry.add(container)
    await service.list(ListOptions(every=True))
    began = time.perf_counter()
    encode(list(await service.list(ListOptions(every=True))))
    assert time.perf_counter() - began < 0.3, "the budget is 30 ms on an idle machine"


def _renumbered(container: Container, number: int) -> object:
    from dataclasses import replace

    from tiffin.spec.ids import ContainerId

    return replace(container.spec, id=ContainerId(f"{number:064x}"))


async def test_inspect(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True, cmd=["a", "b"])
    shown = await service.inspect("web", size=True)
    assert (shown.name, shown.path, shown.args) == ("/web", "a", ["b"])
    assert shown.state.running
    assert shown.state.status == "running"
    assert shown.state.finished_at == "0001-01-01T00:00:00Z"
    assert shown.log_path.startswith(str(lab.roots.container(container.id)))
    assert shown.size_rw is not None
    assert shown.image == container.spec.image_id


@pytest.mark.parametrize(
    ("status", "started", "finished", "expected"),
    [
        (Status.CREATED, 0, 0, "Created"),
        (Status.RUNNING, 97, 0, "Up 3 seconds"),
        (Status.PAUSED, 97, 0, "Up 3 seconds (Paused)"),
        (Status.EXITED, 1, 40, "Exited (0) About a minute ago"),
        (Status.RESTARTING, 1, 98, "Restarting (0) 2 seconds ago"),
        (Status.REMOVING, 1, 98, "Removal In Progress"),
        (Status.DEAD, 1, 98, "Dead"),
    ],
)
async def test_human_status(
    make: Make, status: Status, started: int, finished: int, expected: str
) -> None:
    container = await make()
    container.instance.status = status
    container.instance.started_ns = started * 10**9
    container.instance.finished_ns = finished * 10**9
    assert human_status(container, 100.0) == expected
