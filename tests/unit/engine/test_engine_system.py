"""Events, their filters, and what the daemon tells of itself."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.server.server_serving import served

from tiffin.api import codec
from tiffin.api.filters import Filters
from tiffin.engine.event_filter import accepts
from tiffin.engine.events import Event, Events
from tiffin.engine.host import Host, read_host
from tiffin.engine.roots import Roots
from tiffin.engine.system import Counts, Nouns, System, SystemSettings
from tiffin.errors import InvalidArgument
from tiffin.linux.cgroups.support import Support
from tiffin.server.routes import events as event_routes
from tiffin.server.routes import system as system_routes
from tiffin.server.routes.events import moment_ns

HOST = Host(
    name="host",
    kernel="6.1",
    machine="x86_64",
    system="Debian",
    system_version="12",
    cpus=2,
    memory_bytes=1 << 30,
    support=Support(version=1, cpuset=False, io_weight=False),
)


async def number() -> int:
    return 7


async def things() -> list[Any]:
    return [{"Id": "x"}]


def make_system(events: Events | None = None) -> System:
    return System(
        SystemSettings(
            id="me",
            roots=Roots(Path("/d"), Path("/r")),
            storage_driver="overlay2",
            mirrors=("https://m",),
            insecure_registries=("r:5000", "10.0.0.0/8"),
        ),
        HOST,
        events or Events(),
        Nouns(
            containers=lambda: Counts(1, 2, 3),
            images=number,
            layers_size=number,
            usage={"image": things, "container": things},
        ),
    )


async def test_info_counts_and_tells() -> None:
    info = codec.to_builtins(await make_system().info())
    assert (info["Containers"], info["ContainersRunning"], info["Images"]) == (6, 1, 7)
    assert info["CPUSet"] is False
    assert "WARNING: No cpuset support" in info["Warnings"]
    registries = info["RegistryConfig"]
    assert registries["IndexConfigs"]["r:5000"]["Secure"] is False
    assert registries["IndexConfigs"]["docker.io"]["Mirrors"] == ["https://m/"]
    assert "10.0.0.0/8" in registries["InsecureRegistryCIDRs"]


def test_the_real_host_can_be_read() -> None:
    host = read_host()
    assert host.cpus > 0
    assert host.memory_bytes > 0
    assert host.system


async def test_disk_usage_of_some_types() -> None:
    system = make_system()
    everything = codec.to_builtins(await system.disk_usage())
    assert everything["LayersSize"] == 7
    assert everything["Images"] == [{"Id": "x"}]
    some = codec.to_builtins(await system.disk_usage(["container"]))
    assert (some["LayersSize"], some["Images"]) == (0, None)
    with pytest.raises(InvalidArgument, match="unknown object type: x"):
        await system.disk_usage(["x"])


EVENT = Event(
    "container", "exec_start: sh", "abc123", {"name": "web", "image": "app:1", "tier": "front"}
)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, True),
        ({"type": ["container"]}, True),
        ({"type": ["image", "network"]}, False),
        ({"container": ["web"]}, True),
        ({"container": ["abc"]}, True),
        ({"container": ["db"]}, False),
        ({"event": ["exec_start"]}, True),
        ({"event": ["exec_start: sh"]}, True),
        ({"event": ["start"]}, False),
        ({"image": ["app"]}, True),
        ({"image": ["app:1"]}, True),
        ({"image": ["app:2"]}, False),
        ({"label": ["tier"]}, True),
        ({"label": ["tier=front"]}, True),
        ({"label": ["tier=back"]}, False),
        ({"scope": ["local"]}, True),
        ({"scope": ["swarm"]}, False),
    ],
)
def test_event_filters(filters: dict[str, list[str]], passes: bool) -> None:
    assert accepts(EVENT, Filters(filters)) is passes


async def test_past_and_live_events_are_told_once() -> None:
    events = Events()
    events.publish("container", "create", "a")
    with events.subscribe(since_ns=0) as subscription:
        events.publish("container", "start", "a")
        got = [await anext(subscription), await anext(subscription)]
    assert [event.action for event in got] == ["create", "start"]
    assert events.listeners == 0
    with events.subscribe() as live:
        events.publish("container", "die", "a")
        assert (await anext(live)).action == "die"


async def test_until_ends_the_stream() -> None:
    events = Events()
    events.publish("container", "create", "a")
    with events.subscribe(since_ns=0, until_ns=time.time_ns() + 20_000_000) as subscription:
        assert [event.action async for event in subscription] == ["create"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("1700000000", 1700000000 * 10**9),
        ("1700000000.5", 1700000000_500000000),
        ("2023-11-14T22:13:20Z", 1700000000 * 10**9),
        ("2023-11-14T23:13:20+01:00", 1700000000 * 10**9),
    ],
)
def test_moments(text: str, expected: int | None) -> None:
    assert moment_ns(text) == expected


def test_durations_are_before_now() -> None:
    moment = moment_ns("1h30m")
    assert moment is not None
    assert abs(time.time_ns() - moment - 5400 * 10**9) < 10**9
    with pytest.raises(InvalidArgument):
        moment_ns("yesterday")


async def test_the_event_stream(tmp_path: Path) -> None:
    events = Events()
    routes = event_routes.routes(make_system(events))
    async with served(routes, str(tmp_path / "s")) as api:
        async with api.client.get(
            "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D"
        ) as out:
            # The headers are there: whatever happens from now on is told.
            events.publish("image", "pull", "x")
            events.publish("container", "start", "abc", {"image": "app", "name": "web"})
            line = codec.decode(await asyncio.wait_for(out.content.readline(), 5), dict[str, Any])
        assert line["status"] == "start"
        assert line["id"] == "abc"
        assert line["from"] == "app"
        assert line["Actor"] == {"ID": "abc", "Attributes": {"image": "app", "name": "web"}}
        assert line["timeNano"] // 10**9 == line["time"]
        async with api.client.get("/events?filters=%7B%22x%22%3A%5B%22y%22%5D%7D") as response:
            assert response.status == 400
            assert await response.json() == {"message": "invalid filter 'x'"}
        async with api.client.get("/events?since=5&until=4") as response:
            assert response.status == 400


async def test_ping_and_what_is_not_offered(tmp_path: Path) -> None:
    async with served(system_routes.routes(make_system()), str(tmp_path / "s")) as api:
        async with api.client.get("/_ping") as response:
            assert await response.text() == "OK"
            assert response.headers["Builder-Version"] == "1"
            assert response.headers["Cache-Control"].startswith("no-cache")
            assert response.content_type == "text/plain"
        async with api.client.head("/v1.30/_ping") as response:
            assert response.headers["Api-Version"] == "1.50"
            assert await response.read() == b""
        for path in ("/nodes", "/swarm", "/services/x", "/tasks/x/logs", "/secrets", "/configs"):
            async with api.client.get(path) as response:
                assert response.status == 503
                message = (await response.json())["message"]
                assert message.startswith("This node is not a swarm manager.")
        async with api.client.post("/plugins/pull") as response:
            assert response.status == 501
        async with api.client.post("/plugins/a/b/enable") as response:
            assert response.status == 404
            assert await response.json() == {"message": 'plugin "a/b" not found'}
        async with api.client.get("/plugins") as response:
            assert await response.json() == []
        async with api.client.get("/version") as response:
            assert (await response.json())["ApiVersion"] == "1.50"
