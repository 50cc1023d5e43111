"""Task directories go out of the way at once, and are gone in the end, crash or not."""

import asyncio
from pathlib import Path

from tiffin.engine.tasks.discarded import Discarded


def task(place: Path, name: str) -> Path:
    directory = place / "tasks" / name
    (directory / "rootfs").mkdir(parents=True)
    (directory / "config.json").write_text("{}")
    return directory


def test_the_name_is_free_at_once_and_all_is_removed_in_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        discarded = Discarded(tmp_path / "discarded")
        await discarded.start()
        for turn in range(20):
            discarded.add(task(tmp_path, f"t{turn % 3}"))
            assert not (tmp_path / f"tasks/t{turn % 3}").exists()
        await discarded.close()

    asyncio.run(run())
    assert list((tmp_path / "discarded").iterdir()) == []
    assert list((tmp_path / "tasks").iterdir()) == []


def test_what_a_crash_has_left_goes_at_the_next_start(tmp_path: Path) -> None:
    left = task(tmp_path, "x")
    (tmp_path / "discarded").mkdir()
    left.rename(tmp_path / "discarded/1-0")
    asyncio.run(Discarded(tmp_path / "discarded").start())
    assert list((tmp_path / "discarded").iterdir()) == []


def test_a_directory_that_is_gone_is_fine_and_a_missing_place_no_hindrance(tmp_path: Path) -> None:
    async def run() -> None:
        discarded = Discarded(tmp_path / "discarded")
        discarded.add(task(tmp_path, "x"))
        discarded.add(tmp_path / "tasks/x")
        await discarded.close()

    asyncio.run(run())
    assert not (tmp_path / "tasks/x").exists()
