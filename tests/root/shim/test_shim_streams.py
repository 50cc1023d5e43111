"""Attached clients: bytes in and out, half-close, terminals, detaching, slow readers."""

import asyncio
import hashlib
import os
import signal
import time

import pytest
from tests.root.shim.shim_rig import Rig, exec_request, is_kept, tasks_of, wait_for

pytestmark = pytest.mark.root

MEGABYTE = 1 << 20


async def test_in_and_out_with_half_close(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(stdin=True, prefix=b"first ")
        handle = await rig.run(
            tasks,
            *("sh", "-c", "cat; echo err >&2; exit 3"),
            attach=attachment,
            open_stdin=True,
            stdin_once=True,
        )
        await client.send(b"second")
        client.end_input()
        await client.read_all()
        assert client.streams() == (b"first second", b"err\n")
        assert (await handle.wait()).code == 3
        assert rig.log() == b"first second"
        await handle.delete()


async def test_only_the_wanted_streams_arrive(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(stdout=False)
        handle = await rig.run(tasks, "sh", "-c", "echo out; echo err >&2", attach=attachment)
        await client.read_all()
        assert client.streams() == (b"", b"err\n")
        await handle.wait()
        await handle.delete()


@pytest.mark.parametrize("log", ["json-file", "none"])
async def test_bytes_are_exact(rig: Rig, log: str) -> None:
    data = os.urandom(MEGABYTE) * 16
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(stdin=True)
        handle = await rig.run(
            tasks, "cat", attach=attachment, open_stdin=True, stdin_once=True, log=log
        )

        async def send() -> None:
            await client.send(data)
            client.end_input()

        began = time.monotonic()
        await asyncio.gather(send(), client.read_all())
        took = time.monotonic() - began
        out, err = client.streams()
        assert (len(out), err) == (len(data), b"")
        assert hashlib.md5(out).digest() == hashlib.md5(data).digest()
        assert (await handle.wait()).code == 0
        print(f"{log}: {len(data) / took / 1e6:.0f} MB/s through cat and back")  # noqa: T201
        await handle.delete()


async def test_a_slow_reader_blocks_nobody_and_loses_nothing(rig: Rig) -> None:
    size = 24 * MEGABYTE
    async with tasks_of(rig) as tasks:
        slow, slow_attachment = rig.connect()
        quick, quick_attachment = rig.connect()
        handle = await rig.run(
            tasks,
            *("sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x; echo end"),
            attach=slow_attachment,
            log="none",
        )
        await handle.attach(quick_attachment)
        os.close(quick_attachment.fd)
        await quick.read_all()
        assert quick.received.endswith(b"end\n")
        assert (await handle.wait()).code == 0
        await handle.delete()
        await slow.read_all()
        out, _err = slow.streams()
        assert len(out) == size + 4
        assert out.count(b"x") == size


async def test_a_stalled_only_reader_does_not_stop_the_process(rig: Rig) -> None:
    size = 24 * MEGABYTE
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect()
        handle = await rig.run(
            tasks, "head", "-c", str(size), "/dev/zero", attach=attachment, log="none"
        )
        assert (await handle.wait()).code == 0
        await handle.delete()
        await client.read_all()
        assert client.streams() == (bytes(size), b"")


async def test_a_lot_of_output_stays_out_of_memory(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect()
        handle = await rig.run(
            tasks,
            *("sh", "-c", "yes 0123456789012345678901234567890123456789 | head -c 67108864"),
            attach=attachment,
        )
        total = 0
        while data := await asyncio.get_running_loop().sock_recv(client.connection, 1 << 18):
            total += len(data)
        assert total > 67108864
        assert (await handle.wait()).code == 0
        await handle.delete()


async def test_terminal(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(stdin=True, framed=False)
        handle = await rig.run(
            tasks,
            *("sh", "-c", "stty size; read a; stty size; echo got $a; exit 4"),
            attach=attachment,
            terminal=True,
            rows=31,
            columns=77,
            open_stdin=True,
        )
        await client.read_until(b"31 77\r\n")
        await handle.resize(40, 100)
        await client.send(b"word\n")
        await client.read_all()
        assert client.received == b"31 77\r\nword\r\n40 100\r\ngot word\r\n"
        assert (await handle.wait()).code == 4
        assert rig.log() == client.received
        await handle.delete()


async def test_detach_keys(rig: Rig) -> None:
    detached = asyncio.Event()
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(
            stdin=True, framed=False, detach_keys=b"\x10q", on_detached=detached.set
        )
        handle = await rig.run(tasks, "cat", attach=attachment, terminal=True, open_stdin=True)
        await client.send(b"one\n")
        await client.read_until(b"one\r\none\r\n")
        await client.send(b"\x10")
        await client.send(b"q")
        await client.read_all()
        await asyncio.wait_for(detached.wait(), 5)
        again, attachment = rig.connect(stdin=True, framed=False)
        await handle.attach(attachment)
        os.close(attachment.fd)
        await again.send(b"two\n")
        await again.read_until(b"two\r\ntwo\r\n")
        await handle.delete()
        await again.read_all()


async def test_terminal_exec(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sleep", "1000")
        client, attachment = rig.connect(stdin=True, framed=False)
        execution = await handle.exec(
            exec_request(
                *("t", "sh", "-c", "stty size; read a; stty size; exit 8"),
                terminal=True,
                rows=20,
                columns=60,
                attachment=attachment,
            )
        )
        os.close(attachment.fd)
        await client.read_until(b"20 60\r\n")
        await execution.resize(21, 61)
        await client.send(b"x\n")
        await client.read_until(b"21 61\r\n")
        assert await execution.wait() == 8
        await client.read_all()
        await handle.delete()


async def test_the_end_of_input_ends_an_attachment_that_leaves_stdin_open(rig: Rig) -> None:
    gone = asyncio.Event()
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "cat", open_stdin=True)
        first, attachment = rig.connect(stdin=True, on_detached=gone.set)
        await handle.attach(attachment)
        os.close(attachment.fd)
        await first.send(b"one\n")
        await first.read_until(b"one\n")
        first.end_input()
        await first.read_all()
        await asyncio.wait_for(gone.wait(), 5)
        second, attachment = rig.connect(stdin=True)
        await handle.attach(attachment)
        os.close(attachment.fd)
        await second.send(b"two\n")
        await second.read_until(b"two\n")
        await handle.delete()


async def test_a_client_that_goes_away(rig: Rig) -> None:
    gone = asyncio.Event()
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(on_detached=gone.set)
        handle = await rig.run(
            tasks, "sh", "-c", "while :; do echo x; sleep 0.01; done", attach=attachment
        )
        await client.read_until(b"x\n")
        client.close()
        await asyncio.wait_for(gone.wait(), 5)
        await handle.kill(signal.SIGKILL)
        assert (await handle.wait()).code == 137
        await handle.delete()


async def test_a_process_that_does_not_read(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(stdin=True)
        handle = await rig.run(
            tasks,
            *("sh", "-c", "exec 0<&-; echo closed; sleep 0.2; exit 5"),
            attach=attachment,
            open_stdin=True,
            stdin_once=True,
        )
        sending = asyncio.create_task(client.send(b"x" * 4 * MEGABYTE))
        await client.read_until(b"closed\n")
        assert (await handle.wait()).code == 5
        await client.read_all()
        await sending
        await handle.delete()


async def test_attached_clients_keep_the_supervisor_awake(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect()
        handle = await rig.run(tasks, "sh", "-c", "sleep 0.6; echo late", attach=attachment)
        await client.read_until(b"late\n")
        await handle.wait()
        await handle.delete()


async def test_input_for_a_kept_process(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "md5sum", open_stdin=True, stdin_once=True)
        await wait_for(lambda: is_kept(handle.pid))
        client, attachment = rig.connect(stdin=True)
        await handle.attach(attachment)
        os.close(attachment.fd)
        data = os.urandom(3 * MEGABYTE)
        await client.send(data)
        client.end_input()
        await client.read_all()
        assert client.streams()[0].split()[0].decode() == hashlib.md5(data).hexdigest()
        await handle.wait()
        await handle.delete()
