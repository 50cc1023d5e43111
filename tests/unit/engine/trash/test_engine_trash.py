"""The trash as such: operations, limits, choice, order."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.engine.trash import service
from tiffin.engine.trash.service import Limits, Trash
from tiffin.errors import Conflict, NotFound
from tiffin.state.database import Database
from tiffin.state.retired import Retired, RetiredRecords

HOUR_NS = 3600 * 10**9


class Nouns:
    """Owns everything; what is `stuck` can be neither restored nor destroyed."""

    def __init__(self, records: RetiredRecords) -> None:
        self.records = records
        self.restored: list[str] = []
        self.destroyed: list[str] = []
        self.stuck: set[str] = set()

    async def restore(self, item: Retired) -> None:
        if item.id in self.stuck:
            raise Conflict(f"{item.id} is stuck")
        self.records.remove(item)
        self.restored.append(item.id)

    async def destroy(self, item: Retired) -> int:
        if item.id in self.stuck:
            raise PermissionError(f"{item.id} is stuck")
        self.records.remove(item)
        self.destroyed.append(item.id)
        return item.size


class Lab:
    def __init__(self, directory: Path) -> None:
        self.database = Database(":memory:")
        self.records = RetiredRecords(self.database)
        self.nouns = Nouns(self.records)
        self.trash = Trash(self.records, directory, Limits(keep_s=3600))
        self.trash.serve(dict.fromkeys(service.KINDS, self.nouns))

    async def removes(self, what: str, *items: str, age_ns: int = 0, size: int = 10) -> int:
        """Have an operation remove items, each written `kind:id`; return its number."""
        number = (
            self.records.begin(what, time.time_ns() - age_ns).number
            if age_ns
            else await self.trash.begin(what)
        )
        assert number is not None
        for item in items:
            kind, _, identifier = item.partition(":")
            names = [f"{identifier}-name"]
            self.records.add(Retired(number, kind, identifier, names, size, b"{}"))
        return number


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.database.close()


async def test_the_last_operation_comes_back_in_an_order_that_works(lab: Lab) -> None:
    await lab.removes("image rm", "image:old")
    await lab.removes("system", "container:c", "network:n", "image-name:i", "volume:v", "image:i")
    report = await lab.trash.restore()
    assert lab.nouns.restored == ["i", "i", "v", "n", "c"]
    assert [item.kind for item in report.restored] == list(service.KINDS)
    await lab.trash.restore()
    assert lab.nouns.restored[-1] == "old"
    with pytest.raises(NotFound, match="there is nothing to undo"):
        await lab.trash.restore()


async def test_what_cannot_come_back_stays_and_says_why(lab: Lab) -> None:
    number = await lab.removes("volume prune", "volume:a", "volume:b")
    lab.nouns.stuck = {"a"}
    report = await lab.trash.restore(number)
    assert [item.id for item in report.restored] == ["b"]
    assert [(f.item.id, f.message) for f in report.failed] == [("a", "a is stuck")]
    lab.nouns.stuck = set()
    assert [item.id for item in (await lab.trash.restore()).restored] == ["a"]


async def test_things_are_chosen_by_kind_name_and_start_of_id(lab: Lab) -> None:
    await lab.removes("image rm", "image:sha256:0123", "image-name:x", "image:sha256:4567")
    await lab.removes("volume rm", "volume:v")
    await lab.trash.restore(kinds=["image"], names=["012"])
    assert lab.nouns.restored == ["sha256:0123"]
    await lab.trash.restore(kinds=["image", "image-name"], names=["x-name"])
    assert lab.nouns.restored == ["sha256:0123", "x"]
    for kwargs in ({"names": ["nobody"]}, {"number": 99}):
        with pytest.raises(NotFound):
            await lab.trash.restore(**kwargs)


async def test_a_system_prune_is_one_operation(lab: Lab) -> None:
    first = await lab.removes("container prune", "container:c")
    assert await lab.removes("volume prune", "volume:v") == first
    assert await lab.removes("image prune", "image:i") == first
    assert await lab.removes("image prune", "image:j") != first
    assert await lab.removes("container prune") != first
    (_, operation) = (await lab.trash.listing()).operations
    assert operation.size == 30
    assert operation.removed_at < operation.expires_at


async def test_old_and_surplus_operations_are_destroyed(lab: Lab) -> None:
    await lab.removes("volume prune", "volume:ancient", age_ns=2 * HOUR_NS)
    await lab.removes("volume prune", "volume:older", age_ns=HOUR_NS // 2)
    await lab.removes("volume prune", "volume:newer", age_ns=HOUR_NS // 4)
    await lab.trash.enforce()
    assert lab.nouns.destroyed == ["ancient"]
    lab.trash.limits = Limits(keep_s=3600, keep_bytes=15)
    await lab.trash.enforce()
    assert lab.nouns.destroyed == ["ancient", "older"]


async def test_a_full_disk_keeps_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.removes("volume prune", "volume:v")
    monkeypatch.setattr(lab.trash, "_is_low", lambda: True)
    assert await lab.trash.begin("volume prune") is None
    await lab.trash.enforce()
    assert lab.nouns.destroyed == ["v"]


async def test_without_an_age_nothing_is_kept(lab: Lab) -> None:
    lab.trash.limits = Limits(keep_s=0)
    assert await lab.trash.begin("image rm") is None


async def test_emptying(lab: Lab) -> None:
    number = await lab.removes("volume rm", "volume:v")
    await lab.removes("image rm", "image:i", "image-name:n")
    assert await lab.trash.empty(number) == 10
    assert await lab.trash.empty() == 20
    assert lab.nouns.destroyed == ["v", "n", "i"]
    with pytest.raises(NotFound, match="No such operation in the trash: 1"):
        await lab.trash.empty(number)


async def test_what_cannot_be_destroyed_keeps_nothing_else(lab: Lab) -> None:
    lab.nouns.stuck.add("a")
    await lab.removes("image rm", "image:a", "image:b", age_ns=3 * HOUR_NS)
    await lab.removes("image rm", "image:c", age_ns=2 * HOUR_NS)
    with pytest.raises(PermissionError, match="a is stuck"):
        await lab.trash.enforce()
    assert lab.nouns.destroyed == ["b", "c"]
    with pytest.raises(PermissionError, match="a is stuck"):
        await lab.trash.empty()


async def test_an_operation_that_was_undone_meanwhile_may_remove_more(lab: Lab) -> None:
    number = await lab.removes("container prune", "container:c")
    await lab.trash.restore()
    assert await lab.removes("image prune", "image:i") == number
    (operation,) = (await lab.trash.listing()).operations
    assert [item.id for item in operation.items] == ["i"]
