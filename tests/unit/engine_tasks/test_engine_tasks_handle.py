"""The daemon's side of a shim's channel, with the test as the shim."""

import asyncio
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tiffin.engine.tasks.contract import Attachment, ExecRequest, Exit
from tiffin.engine.tasks.handle import Handle
from tiffin.engine.tasks.oom import OomWatch
from tiffin.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from tiffin.linux.cgroups.layout import Layout
from tiffin.linux.cgroups.v2 import GroupV2
from tiffin.shim import protocol, state
from tiffin.shim.protocol import Message
from tiffin.spec.ids import ExecId


class Shim:
    """Plays the other end."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._assembler = protocol.Assembler()
        self.fds: list[int] = []

    async def receive(self) -> Message:
        loop = asyncio.get_running_loop()
        while True:
            ready = loop.create_future()
            loop.add_reader(self._channel, ready.set_result, None)
            await ready
            loop.remove_reader(self._channel)
            complete = self._assembler.feed(*protocol.receive_packet(self._channel))
            if complete is not None:
                message, self.fds = complete
                return message

    def send(self, message: Message) -> None:
        for packet in protocol.encode(message):
            protocol.send_packet(self._channel, packet)

    def end(self) -> None:
        self._channel.close()


class Rig:
    def __init__(self, directory: Path) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.cleaned = 0
        self.directory = directory
        self.shim = Shim(theirs)
        self.group = GroupV2("/x", Layout(unified=str(directory)))
        self.handle = Handle(
            ours, directory, self._clean_up, lambda: self.group, OomWatch(), shutil.rmtree
        )

    async def _clean_up(self) -> None:
        self.cleaned += 1

    async def start(self) -> None:
        syncing = asyncio.create_task(self.handle.resync())
        hello = await self.shim.receive()
        assert isinstance(hello, protocol.Hello)
        self.shim.send(
            protocol.Done(
                hello.seq, {"phase": "running", "pid": 7, "started_ns": 5, "warnings": ["w"]}
            )
        )
        assert await syncing == "running"


@contextmanager
def making(directory: Path) -> Iterator[Rig]:
    rig = Rig(directory)
    try:
        yield rig
    finally:
        rig.handle.close()
        rig.shim.end()


async def test_state_of_a_task_that_is_found_again(tmp_path: Path) -> None:
    with making(tmp_path) as rig:
        await rig.start()
        assert (rig.handle.pid, rig.handle.started_ns, rig.handle.warnings) == (7, 5, ("w",))
        assert rig.handle.sandbox is None


async def test_answers_in_any_order_and_errors_by_name(tmp_path: Path) -> None:
    with making(tmp_path) as rig:
        await rig.start()
        pausing = asyncio.create_task(rig.handle.pause())
        first = await rig.shim.receive()
        asking = asyncio.create_task(rig.handle.open_sandbox())
        second = await rig.shim.receive()
        resizing = asyncio.create_task(rig.handle.resize(3, 4))
        third = await rig.shim.receive()
        assert isinstance(first, protocol.Pause)
        assert isinstance(second, protocol.Network)
        assert isinstance(third, protocol.Resize)
        rig.shim.send(protocol.Failed(third.seq, "NotFound", "no such terminal"))
        rig.shim.send(protocol.Done(second.seq, {"a": 1}))
        rig.shim.send(protocol.Failed(first.seq, "Surprise", "what"))
        assert await asking is None
        with pytest.raises(NotFound, match="no such terminal"):
            await resizing
        with pytest.raises(FailedPrecondition, match="what"):
            await pausing


async def test_the_end_and_everyone_who_waits(tmp_path: Path) -> None:
    with making(tmp_path) as rig:
        await rig.start()
        waiters = [asyncio.create_task(rig.handle.wait()) for _ in range(3)]
        cancelled = waiters.pop()
        await asyncio.sleep(0)
        cancelled.cancel()
        rig.shim.send(protocol.Exited(3, 99, oom_killed=True))
        assert isinstance(await rig.shim.receive(), protocol.Bye)
        rig.shim.end()
        assert await asyncio.gather(*waiters) == [Exit(3, 99, oom_killed=True)] * 2
        with pytest.raises(Conflict, match="not running"):
            await rig.handle.kill(15)
        assert rig.cleaned == 0


async def test_an_end_that_only_the_record_tells(tmp_path: Path) -> None:
    state.write_exit(str(tmp_path), state.ExitRecord(4, 44))
    with making(tmp_path) as rig:
        await rig.start()
        rig.shim.end()
        assert await rig.handle.wait() == Exit(4, 44)
        assert rig.cleaned == 0


async def test_a_shim_that_is_gone_is_cleaned_up_after(tmp_path: Path) -> None:
    directory = tmp_path / "task"
    directory.mkdir()
    with making(directory) as rig:
        await rig.start()
        pausing = asyncio.create_task(rig.handle.pause())
        await rig.shim.receive()
        rig.shim.end()
        with pytest.raises(Conflict):
            await pausing
        ended = await rig.handle.wait()
        assert (ended.code, ended.error) == (137, "the task's shim ended unexpectedly")
        assert rig.cleaned == 1
        await rig.handle.delete()
        assert not directory.exists()


async def test_exec_and_its_client(tmp_path: Path) -> None:
    detached: list[str] = []
    ours, theirs = socket.socketpair()
    with making(tmp_path) as rig, ours:
        await rig.start()
        attachment = Attachment(
            theirs.fileno(),
            stdin=True,
            framed=False,
            detach_keys=b"\x01",
            prefix=b"p",
            on_detached=lambda: detached.append("gone"),
        )
        request = ExecRequest(ExecId("e"), {"args": ["x"]}, terminal=True, attachment=attachment)
        executing = asyncio.create_task(rig.handle.exec(request))
        message = await rig.shim.receive()
        theirs.close()
        assert isinstance(message, protocol.Exec)
        assert message.client is not None
        assert (message.client.detach_keys, message.client.prefix) == ("01", "70")
        (copy,) = rig.shim.fds
        os.write(copy, b"hi")
        assert ours.recv(9) == b"hi"
        os.close(copy)
        rig.shim.send(protocol.Done(message.seq, {"pid": 12}))
        execution = await executing
        assert execution.pid == 12
        rig.shim.send(protocol.Detached(message.client.id))
        rig.shim.send(protocol.ExecExited("e", 9))
        assert await execution.wait() == 9
        assert detached == ["gone"]


async def test_execs_end_with_the_task(tmp_path: Path) -> None:
    with making(tmp_path) as rig:
        await rig.start()
        executing = asyncio.create_task(rig.handle.exec(ExecRequest(ExecId("e"), {})))
        message = await rig.shim.receive()
        assert isinstance(message, protocol.Exec)
        rig.shim.send(protocol.Done(message.seq, {"pid": 12}))
        rig.shim.send(protocol.Exited(0, 1, oom_killed=False))
        assert await (await executing).wait() == 137


async def test_a_shim_that_does_not_read_yet_gets_everything(tmp_path: Path) -> None:
    with making(tmp_path) as rig:
        await rig.start()
        big = {"memory": {"text": "x" * 1_000_000}}
        updates = [asyncio.create_task(rig.handle.update(big)) for _ in range(3)]
        await asyncio.sleep(0)
        for _ in updates:
            message = await rig.shim.receive()
            assert isinstance(message, protocol.Update)
            assert message.resources == big
            rig.shim.send(protocol.Done(message.seq))
        await asyncio.gather(*updates)


async def test_a_broken_channel_counts_as_lost(tmp_path: Path) -> None:
    with making(tmp_path) as rig:
        syncing = asyncio.create_task(rig.handle.resync())
        await rig.shim.receive()
        rig.shim._channel.send(b"\0no message")
        with pytest.raises(Unavailable):
            await syncing


async def test_figures_are_read_without_the_shim(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "memory.current").write_text("4096\n")
    with making(tmp_path) as rig:
        await rig.start()
        assert (await rig.handle.stats())["memory"]["usage"] == 4096
        assert not rig.handle.watch_oom(lambda: None)  # without a controller there is no notice
