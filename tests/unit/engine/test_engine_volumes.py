import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tiffin.api.filters import Filters
from tiffin.engine.events import Events
from tiffin.engine.trash.service import Limits, Trash
from tiffin.engine.volumes.service import Volumes
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.state.database import Database
from tiffin.state.retired import RetiredRecords
from tiffin.state.volumes import VolumeRows
from tiffin.volumes.local import LocalVolumes

BAD_NAME = (
    'create a/b: "a/b" includes invalid characters for a local volume name, only'
    ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use'
    " absolute path"
)
SHORT_NAME = (
    "create x: volume name is too short, names should be at least two alphanumeric characters"
)
NO_DRIVER = 'create data: error looking up volume plugin vieux: plugin "vieux" not found'
ANONYMOUS = "com.docker.volume.anonymous"


class Engine:
    """Volumes that can be started again on the same files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.database = Database(root / "state.db")
        self.events = Events()
        driver = LocalVolumes(root / "volumes")
        self.volumes = Volumes(VolumeRows(self.database), driver, self.events)
        self.trash = Trash(RetiredRecords(self.database), root, Limits())
        self.trash.serve({"volume": self.volumes})
        self.volumes.bin = self.trash

    def happened(self) -> list[tuple[str, str]]:
        return [(event.action, event.actor) for event in self.events._history]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Start an engine; again, as after a kill: nothing was closed."""
    started: list[Engine] = []

    def start_one() -> Engine:
        started.append(Engine(tmp_path))
        return started[-1]

    yield start_one
    for each in started:
        each.database.close()


@pytest.fixture
def engine(start: Callable[[], Engine]) -> Engine:
    return start()


@pytest.fixture
def volumes(engine: Engine) -> Volumes:
    return engine.volumes


async def names(volumes: Volumes, **filters: list[str]) -> list[str]:
    return [volume.name for volume in await volumes.list(Filters(filters))]


async def test_create_is_idempotent(engine: Engine, volumes: Volumes) -> None:
    first = await volumes.create("data", "local", {}, {"a": "b"})
    assert (first.name, first.driver, first.scope, first.labels) == (
        "data", "local", "local", {"a": "b"},
    )  # fmt: skip
    assert first.options is None
    assert first.created_at.endswith("Z")
    again = await asyncio.gather(*[volumes.create("data", labels={"c": "d"}) for _ in range(5)])
    assert all(each == first for each in again)
    assert await volumes.inspect("data") == first
    assert engine.happened() == [("create", "data")]
    assert len(os.listdir(engine.root / "volumes")) == 1


async def test_anonymous_volumes(volumes: Volumes) -> None:
    volume = await volumes.create()
    assert len(volume.name) == 64
    assert volume.labels == {ANONYMOUS: ""}


@pytest.mark.parametrize(
    ("name", "driver", "options", "kind", "message"),
    [
        ("a/b", "", {}, InvalidArgument, BAD_NAME),
        ("-x", "", {}, InvalidArgument, "includes invalid characters"),
        ("ab\n", "", {}, InvalidArgument, "includes invalid characters"),
        ("x", "", {}, InvalidArgument, SHORT_NAME),
        ("a" * 300, "", {}, InvalidArgument, "longer than 255"),
        ("data", "vieux", {}, NotFound, NO_DRIVER),
        ("data", "", {"x": "y"}, InvalidArgument, 'create data: invalid option: "x"'),
    ],
)  # fmt: skip
async def test_bad_requests_leave_nothing(
    engine: Engine, name: str, driver: str, options: dict[str, str], kind: type[Exception],
    message: str,
) -> None:  # fmt: skip
    with pytest.raises(kind) as caught:
        await engine.volumes.create(name, driver, options)
    assert message in str(caught.value)
    assert await names(engine.volumes) == []
    assert not os.listdir(engine.root / "volumes")
    assert engine.happened() == []


async def test_another_drivers_name(volumes: Volumes) -> None:
    await volumes.create("data")
    with pytest.raises(Conflict, match="must be unique"):
        await volumes.create("data", "other")


async def test_missing_volumes(volumes: Volumes) -> None:
    for call in (
        volumes.inspect("x"), volumes.remove("x"), volumes.acquire("x", "c"),
        volumes.populate("x", (), "/"),
    ):  # fmt: skip
        with pytest.raises(NotFound, match="get x: no such volume"):
            await call
    await volumes.remove("x", force=True)


async def test_volumes_in_use_stay(engine: Engine, volumes: Volumes) -> None:
    await volumes.create("data")
    for container in ("c1", "c2", "c1"):
        mount = await volumes.acquire("data", container)
    assert (mount.name, mount.driver) == ("data", "local")
    assert mount.source == mount.mounts[0].source == (await volumes.inspect("data")).mountpoint
    for force in (False, True):
        with pytest.raises(Conflict, match=r"remove data: volume is in use - \[c1, c2\]"):
            await volumes.remove("data", force=force)
    await volumes.release("c1")
    await volumes.release("c2")
    await volumes.remove("data")
    assert engine.happened() == [("create", "data"), ("destroy", "data")]
    assert await names(volumes) == []


async def test_filters(volumes: Volumes) -> None:
    await volumes.create("used", labels={"a": "1"})
    await volumes.create("unused", labels={"a": "2"})
    await volumes.create("other")
    await volumes.acquire("used", "c")
    assert await names(volumes) == ["other", "unused", "used"]
    assert await names(volumes, dangling=["true"]) == ["other", "unused"]
    assert await names(volumes, dangling=["0"]) == ["used"]
    assert await names(volumes, name=["use"]) == ["unused", "used"]
    assert await names(volumes, label=["a"]) == ["unused", "used"]
    assert await names(volumes, label=["a=2"], dangling=["1"]) == ["unused"]
    assert await names(volumes, driver=["local"]) == ["other", "unused", "used"]
    assert await names(volumes, driver=["x"]) == []
    for bad in ({"foo": ["x"]}, {"dangling": ["maybe"]}):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            await names(volumes, **bad)


async def test_prune(engine: Engine, volumes: Volumes) -> None:
    anonymous = await volumes.create()
    Path(anonymous.mountpoint, "file").write_bytes(b"x" * 100)
    held = await volumes.create()
    await volumes.acquire(held.name, "c")
    await volumes.create("named", labels={"keep": "1"})
    report = await volumes.prune(Filters())
    assert (report.volumes_deleted, report.space_reclaimed) == ([anonymous.name], 100)
    assert (await volumes.prune(Filters())).volumes_deleted is None
    report = await volumes.prune(Filters({"all": ["true"], "label!": ["keep"]}))
    assert report.volumes_deleted is None
    report = await volumes.prune(Filters({"all": ["1"]}))
    assert report.volumes_deleted == ["named"]
    assert (await volumes.prune(Filters(), named=True)).volumes_deleted is None
    assert await names(volumes) == [held.name]
    assert ("prune", "") in engine.happened()
    with pytest.raises(InvalidArgument, match="invalid filter"):
        await volumes.prune(Filters({"dangling": ["true"]}))


async def test_one_prune_at_a_time(volumes: Volumes) -> None:
    for _ in range(3):
        await volumes.create()
    outcomes = await asyncio.gather(
        volumes.prune(Filters()), volumes.prune(Filters()), return_exceptions=True
    )
    assert [type(each).__name__ for each in outcomes] == ["VolumePruneReport", "Conflict"]


async def test_disk_usage(volumes: Volumes) -> None:
    volume = await volumes.create("data")
    Path(volume.mountpoint, "file").write_bytes(b"x" * 7)
    await volumes.create("remote", options={"type": "none", "o": "bind", "device": "/srv"})
    await volumes.acquire("data", "c")
    seen = [
        (each.name, each.usage_data.size, each.usage_data.ref_count)
        for each in await volumes.disk_usage()
        if each.usage_data is not None
    ]
    assert seen == [("data", 7, 1), ("remote", -1, 0)]
    assert (await volumes.inspect("data")).usage_data is None


async def test_volumes_survive_a_restart(engine: Engine, start: Callable[[], Engine]) -> None:
    await engine.volumes.create("data", options={"type": "none", "o": "bind", "device": "/srv"})
    anonymous = await engine.volumes.create()
    before = await engine.volumes.list(Filters())
    (engine.root / "volumes" / "stray" / "data").mkdir(parents=True)
    again = start()
    await again.volumes.recover()
    assert await again.volumes.list(Filters()) == before
    assert len(os.listdir(engine.root / "volumes")) == 2
    report = await again.volumes.prune(Filters())
    assert report.volumes_deleted == [anonymous.name]


async def test_what_was_removed_can_be_restored(
    engine: Engine, volumes: Volumes, start: Callable[[], Engine]
) -> None:
    volume = await volumes.create("data", labels={"a": "b"})
    Path(volume.mountpoint, "file").write_text("precious")
    await volumes.remove("data", undoable=True)
    assert await names(volumes) == []
    await volumes.create("data")
    report = await engine.trash.restore(names=["data"])
    assert [failure.message for failure in report.failed] == ["a volume named data already exists"]
    await volumes.remove("data")
    again = start()
    await again.volumes.recover()
    await again.trash.restore(names=["data"])
    assert await again.volumes.inspect("data") == volume
    assert Path(volume.mountpoint, "file").read_text() == "precious"
    with pytest.raises(NotFound, match="nothing to undo"):
        await again.trash.restore()


async def test_pruned_volumes_go_when_the_trash_is_emptied(
    engine: Engine, volumes: Volumes
) -> None:
    volume = await volumes.create()
    Path(volume.mountpoint, "file").write_text("12345")
    preview = await volumes.preview_prune(Filters())
    assert preview == await volumes.prune(Filters())
    assert Path(volume.mountpoint, "file").exists()
    assert await engine.trash.empty() == 5
    assert not os.listdir(engine.root / "volumes")


async def test_data_of_nobody_is_kept_for_a_while(
    engine: Engine, start: Callable[[], Engine]
) -> None:
    volume = await engine.volumes.create("data")
    Path(volume.mountpoint, "file").write_text("precious")
    engine.database.query("DELETE FROM volumes")
    again = start()
    await again.volumes.recover()
    assert await names(again.volumes) == []
    (operation,) = (await again.trash.listing()).operations
    await again.trash.restore(operation.number)
    (found,) = await again.volumes.list(Filters())
    assert Path(found.mountpoint, "file").read_text() == "precious"


async def test_a_removal_that_was_cut_off_is_seen_through(
    engine: Engine, start: Callable[[], Engine]
) -> None:
    await engine.volumes.create("data")
    engine.database.query("DELETE FROM volumes")  # killed right after this
    again = start()
    await again.volumes.recover()
    assert await names(again.volumes) == []
    assert not os.listdir(engine.root / "volumes")


async def test_mounts_are_events(engine: Engine, volumes: Volumes) -> None:
    await volumes.create("data")
    volumes.mounted("data", "c", "/srv", read_only=True, propagation="")
    volumes.unmounted("data", "c")
    mounted, unmounted = list(engine.events._history)[1:]
    assert mounted.attributes == {
        "driver": "local", "container": "c", "destination": "/srv", "propagation": "",
        "read/write": "false",
    }  # fmt: skip
    assert unmounted.attributes == {"driver": "local", "container": "c"}
