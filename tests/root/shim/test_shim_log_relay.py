"""The process between a shim and a log server: it outlives hand-overs, and is not needed to live."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.root.shim.shim_rig import Rig, comm, is_kept, is_running, tasks_of, wait_for
from tests.unit.logs.logs_receivers import StreamServer, tcp_server

from tiffin.engine.tasks.contract import LogTarget, TaskRequest
from tiffin.errors import FailedPrecondition
from tiffin.logs import select
from tiffin.logs.attributes import LogSubject, log_source
from tiffin.logs.driver import LogQuery

pytestmark = pytest.mark.root


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with contextlib.closing(tcp_server()) as listening:
        yield listening


def request_to(rig: Rig, port: int, *args: str) -> TaskRequest:
    request = rig.request(*args, open_stdin=True, stdin_once=True)
    options = {"syslog-address": f"tcp://127.0.0.1:{port}"}
    source = log_source(options, LogSubject(request.id, "web"))
    return replace(request, log=LogTarget("syslog", request.log.path, options, {}, source))


async def relay_of(rig: Rig) -> int:
    found: list[int] = []

    def is_there() -> bool:
        for pid in rig.processes():
            with contextlib.suppress(OSError):
                if comm(pid) == "tiffin-log":
                    found.append(pid)
        return bool(found)

    await wait_for(is_there)
    return found[0]


def kept(request: TaskRequest) -> bytes:
    reader = select.reader("syslog", request.log.path, request.log.options)
    return b"".join(record.line for record in reader.read(LogQuery()))


async def test_it_goes_on_when_its_shim_is_handed_over(rig: Rig, server: StreamServer) -> None:
    async with tasks_of(rig) as tasks:
        request = request_to(rig, server.port, "sh", "-c", "echo early; cat; echo late")
        handle = await tasks.create(request)
        await handle.start()
        server.wait_for(b"early\n")
        relay = await relay_of(rig)
        await wait_for(lambda: is_kept(handle.pid))
        client, attachment = rig.connect(stdin=True)
        await handle.attach(attachment)
        os.close(attachment.fd)
        await client.send(b"typed\n")
        client.end_input()
        await handle.wait()
        assert server.wait_for(b"late\n").count(b"\n") == 3
        await wait_for(lambda: not is_running(relay))
        assert server.connections == 1
        assert kept(request) == b"early\ntyped\nlate\n"
        await handle.delete()


async def test_without_it_the_container_goes_on(rig: Rig, server: StreamServer) -> None:
    async with tasks_of(rig) as tasks:
        request = request_to(rig, server.port, "sh", "-c", "echo early; cat")
        handle = await tasks.create(request)
        await handle.start()
        server.wait_for(b"early\n")
        os.kill(await relay_of(rig), signal.SIGKILL)
        client, attachment = rig.connect(stdin=True)
        await handle.attach(attachment)
        os.close(attachment.fd)
        await client.send(b"typed\n" * 100_000)
        client.end_input()
        assert (await handle.wait()).code == 0
        assert kept(request) == b"early\n" + b"typed\n" * 100_000
        await handle.delete()


async def test_nothing_is_left_of_a_task_whose_server_is_absent(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        request = request_to(rig, 1, "true")
        with pytest.raises(
            FailedPrecondition, match=r"dial tcp 127\.0\.0\.1:1: connect: connection"
        ):
            await tasks.create(request)
        assert not Path(request.bundle).exists()
