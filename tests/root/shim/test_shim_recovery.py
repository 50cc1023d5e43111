"""Daemons, spawners and shims that are killed with -9."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.root.shim.shim_rig import (
    Client,
    Rig,
    exec_request,
    is_kept,
    is_running,
    parent_of,
    tasks_of,
    wait_for,
)

from tiffin.engine.tasks.contract import Exit, LogTarget, TaskRequest
from tiffin.engine.tasks.handle import Handle
from tiffin.errors import Conflict
from tiffin.shim import state
from tiffin.spec.ids import ContainerId

pytestmark = pytest.mark.root

ECHO = ("sh", "-c", "while read a; do echo got $a; [ $a = end ] && exit 6; done")


def _has_ended(pid: int) -> bool:
    return not is_running(pid)


@dataclass
class Daemon:
    process: subprocess.Popen[str]
    id: ContainerId
    pid: int

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def daemon(
    rig: Rig, *args: str, client: bool = False, start: bool = True
) -> Iterator[tuple[Daemon, Client]]:
    """Run a daemon of its own process that has made a task; it is killed at the end at the latest."""
    ours, attachment = rig.connect(stdin=True)
    choices = {
        "directory": str(rig.directory),
        "rootfs": str(rig.rootfs),
        "args": args,
        "fd": attachment.fd if client else -1,
        "start": start,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.root.shim.shim_daemon", json.dumps(choices)],
        cwd=Path(__file__).parents[3],
        pass_fds=[attachment.fd],
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(attachment.fd)
    with process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            identifier = ContainerId(told["id"])
            logs = LogTarget("json-file", rig.roots.container(identifier) / "log")
            rig.requests.append(TaskRequest(identifier, rig.roots.task(identifier), logs))
            yield Daemon(process, identifier, told["pid"]), ours
        finally:
            process.kill()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_session_goes_on_without_the_daemon(rig: Rig, kept: bool) -> None:
    with daemon(rig, *ECHO, client=not kept) as (first, client):
        if kept:
            await wait_for(lambda: is_kept(first.pid))
        else:
            await client.send(b"one\n")
            await client.read_until(b"got one\n")
        first.kill()
        async with tasks_of(rig) as tasks:
            if not kept:
                await client.send(b"two\n")
                await client.read_until(b"got two\n")
            assert tasks.ids() == [first.id]
            handle = await tasks.recover(first.id)
            assert isinstance(handle, Handle)
            assert handle.pid == first.pid
            assert handle.started_ns
            execution = await handle.exec(exec_request("1", "sh", "-c", "exit 3"))
            assert await execution.wait() == 3
            if kept:
                client, attachment = rig.connect(stdin=True)
                await handle.attach(attachment)
                os.close(attachment.fd)
            await client.send(b"end\n")
            assert (await handle.wait()).code == 6
            await client.read_all()
            assert rig.log().endswith(b"got end\n")
            await handle.delete()


@pytest.mark.parametrize("kept", [False, True])
async def test_an_end_while_there_is_no_daemon(rig: Rig, kept: bool) -> None:
    with daemon(rig, *ECHO, client=not kept) as (first, client):
        if kept:
            await wait_for(lambda: is_kept(first.pid))
        first.kill()
        if kept:
            os.kill(first.pid, signal.SIGKILL)
        else:
            await client.send(b"end\n")
            await client.read_all()
        directory = str(rig.roots.task(first.id))
        await wait_for(lambda: state.read_exit(directory))
        assert rig.cgroups() == []
        async with tasks_of(rig) as tasks:
            for _ in range(2):
                ended = await tasks.recover(first.id)
                assert isinstance(ended, Exit)
                assert ended.code == (137 if kept else 6)


async def test_a_task_that_was_not_started_goes_with_the_daemon(rig: Rig) -> None:
    with daemon(rig, "sleep", "1000", start=False) as (first, _client):
        first.kill()
        async with tasks_of(rig) as tasks:
            assert await tasks.recover(first.id) is None
            await wait_for(lambda: not is_running(first.pid))


async def test_nothing_is_known_of_other_tasks(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        assert tasks.ids() == []
        assert await tasks.recover(ContainerId("0" * 64)) is None


@pytest.mark.parametrize("kept", [False, True])
async def test_a_shim_that_is_killed(rig: Rig, kept: bool) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect()
        handle = await rig.run(
            tasks, "sh", "-c", "sleep 1000 & sleep 1000", attach=None if kept else attachment
        )
        if kept:
            await wait_for(lambda: is_kept(handle.pid))
        os.kill(parent_of(handle.pid), signal.SIGKILL)
        ended = await handle.wait()
        assert ended.code == 137
        assert ended.error == "the task's shim ended unexpectedly"
        assert not is_running(handle.pid)
        assert rig.cgroups() == []
        with pytest.raises(Conflict):
            await handle.kill(signal.SIGTERM)
        await handle.delete()
        if kept:
            os.close(attachment.fd)
        await client.read_all()


async def test_a_shim_that_is_killed_while_there_is_no_daemon(rig: Rig) -> None:
    with daemon(rig, "sh", "-c", "sleep 1000 & sleep 1000") as (first, _client):
        await wait_for(lambda: is_kept(first.pid))
        first.kill()
        os.kill(parent_of(first.pid), signal.SIGKILL)
        async with tasks_of(rig) as tasks:
            ended = await tasks.recover(first.id)
            assert isinstance(ended, Exit)
            assert (ended.code, bool(ended.error)) == (137, True)
            assert not is_running(first.pid)


async def test_a_spawner_that_is_killed_is_replaced(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        for _ in range(3):
            handle = await rig.run(tasks, "sleep", "1000")
            spawner = tasks.spawner_pid
            os.kill(spawner, signal.SIGKILL)
            await wait_for(partial(_has_ended, spawner))
            execution = await handle.exec(exec_request("1", "true"))
            assert await execution.wait() == 0
            await handle.delete()


async def test_a_spawner_that_stands_still_and_dies_with_the_request(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        os.kill(tasks.spawner_pid, signal.SIGSTOP)
        creating = asyncio.create_task(rig.run(tasks, "true"))
        await asyncio.sleep(0)
        os.kill(tasks.spawner_pid, signal.SIGKILL)
        handle = await creating
        assert (await handle.wait()).code == 0
        await handle.delete()


async def test_a_closed_engine_finds_its_tasks_again(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sleep", "1000")
        identifier = rig.requests[-1].id
    async with tasks_of(rig) as tasks:
        again = await tasks.recover(identifier)
        assert isinstance(again, Handle)
        assert again.pid == handle.pid
        await again.delete()
