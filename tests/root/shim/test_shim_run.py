"""Running tasks: exit codes, logs, exec, signals, what is left when something fails."""

import asyncio
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from tests.root.shim.shim_rig import Rig, exec_request, is_kept, is_running, tasks_of, wait_for

from tiffin.engine.tasks.contract import Exit
from tiffin.engine.tasks.handle import Handle
from tiffin.errors import Conflict, FailedPrecondition

pytestmark = pytest.mark.root


async def test_exit_codes_and_log(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        for script, code in (("exit 0", 0), ("exit 42", 42), ("exit 255", 255)):
            handle = await rig.run(tasks, "sh", "-c", f"echo out; echo err >&2; {script}")
            assert handle.pid
            assert handle.started_ns
            ended, again = await asyncio.gather(handle.wait(), handle.wait())
            assert ended == again
            assert (ended.code, ended.oom_killed, ended.error) == (code, False, "")
            assert rig.log() == b"out\n"
            assert rig.log(stream="stderr") == b"err\n"
            with pytest.raises(Conflict):
                await handle.kill(signal.SIGTERM)
            await handle.delete()
            await handle.delete()


async def test_a_program_that_is_missing(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        with pytest.raises(FailedPrecondition, match="executable file not found"):
            await rig.run(tasks, "no-such-program")


async def test_a_bundle_that_cannot_be_made(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        request = rig.request("true")
        config = request.bundle / "config.json"
        config.write_text(config.read_text().replace(str(rig.rootfs), "/nonexistent"))
        with pytest.raises(FailedPrecondition):
            await (await tasks.create(request)).start()


async def test_delete_kills(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sleep", "1000")
        waiter = asyncio.create_task(handle.wait())
        await handle.delete()
        assert (await waiter).code == 137
        unstarted = await tasks.create(rig.request("true"))
        await unstarted.delete()
        assert not is_running(unstarted.pid)


async def test_signals(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(
            tasks, "sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"
        )
        await wait_for(rig.log)
        await handle.kill(signal.SIGTERM)
        assert (await handle.wait()).code == 7
        await handle.delete()


async def test_pause_and_resume_and_stats(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sh", "-c", "while :; do echo x; sleep 0.01; done")
        await wait_for(rig.log)
        await handle.pause()
        before = rig.log()
        assert (await handle.stats())["pids"]["current"] >= 1
        await handle.resume()
        await wait_for(lambda: rig.log() != before)
        await handle.delete()


async def test_exec(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sleep", "1000")
        client, attachment = rig.connect(stdin=True, prefix=b"a")
        execution = await handle.exec(
            exec_request("1", "sh", "-c", "cat; echo e >&2; exit 5", attachment=attachment)
        )
        os.close(attachment.fd)
        assert execution.pid
        await client.send(b"bc")
        client.end_input()
        await client.read_all()
        assert client.streams() == (b"abc", b"e\n")
        assert await execution.wait() == 5
        silent = await handle.exec(exec_request("2", "sh", "-c", "echo x; exit 6"))
        assert await silent.wait() == 6
        with pytest.raises(FailedPrecondition, match="executable file not found"):
            await handle.exec(exec_request("3", "nope"))
        endless = await handle.exec(exec_request("4", "sleep", "1000"))
        await endless.kill(signal.SIGKILL)
        assert await endless.wait() == 137
        left = await handle.exec(exec_request("5", "sleep", "1000"))
        await handle.delete()
        assert await left.wait() == 137
        assert rig.log() == b""


async def test_many_at_once(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handles = await asyncio.gather(
            *(rig.run(tasks, "sh", "-c", f"echo {n}; exit {n}") for n in range(20))
        )
        ends = await asyncio.gather(*(handle.wait() for handle in handles))
        assert [ended.code for ended in ends] == list(range(20))
        await asyncio.gather(*(handle.delete() for handle in handles))


async def test_explain_and_sandbox(rig: Rig) -> None:
    lines: list[str] = []
    async with tasks_of(rig) as tasks:
        handle = await tasks.create(rig.request("true", new_network=True, explain=lines.append))
        sandbox = handle.sandbox
        assert sandbox is not None
        assert os.fstat(sandbox.netns).st_ino == Path(f"/proc/{handle.pid}/ns/net").stat().st_ino
        await handle.start()
        assert handle.sandbox is None
        assert sandbox.rtnetlink.fileno() == -1
        assert any("namespaces" in line for line in lines)
        await handle.wait()
        await handle.delete()


async def test_the_sandbox_of_a_running_task(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sleep", "1000", new_network=True)
        for _ in range(2):
            sandbox = await handle.open_sandbox()
            assert sandbox is not None
            inode = os.fstat(sandbox.netns).st_ino
            assert inode == Path(f"/proc/{handle.pid}/ns/net").stat().st_ino
            os.close(sandbox.netns)
            sandbox.rtnetlink.close()
            sandbox.nfnetlink.close()
            await wait_for(lambda: is_kept(handle.pid))
        await handle.delete()


async def test_a_kept_task_goes_on(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        client, attachment = rig.connect(stdin=True)
        handle = await rig.run(
            tasks, "sh", "-c", "read a; echo $a; read a; exit 3", open_stdin=True
        )
        await wait_for(lambda: is_kept(handle.pid))
        await handle.attach(attachment)
        os.close(attachment.fd)
        await client.send(b"one\n")
        await client.read_until(b"one\n")
        execution = await handle.exec(exec_request("1", "sh", "-c", "exit 9"))
        assert await execution.wait() == 9
        await client.send(b"two\n")
        assert (await handle.wait()).code == 3
        assert rig.log() == b"one\n"
        await client.read_all()
        await handle.delete()


async def test_a_kept_task_is_noticed_to_end(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handle = await rig.run(tasks, "sleep", "1000")
        await wait_for(lambda: is_kept(handle.pid))
        os.kill(handle.pid, signal.SIGKILL)
        assert await handle.wait() == Exit(137, (await handle.wait()).finished_ns)
        await handle.delete()


async def test_memory_of_further_containers(rig: Rig) -> None:
    async with tasks_of(rig) as tasks:
        handles: list[Handle] = []

        async def grow(count: int) -> int:
            handles.extend([await rig.run(tasks, "sleep", "1000") for _ in range(count)])
            for handle in handles:
                await wait_for(partial(is_kept, handle.pid))
            return sum(proportional_kib(pid) for pid in rig.processes())

        few = await grow(4)
        further = (await grow(8) - few) / 8
        print(f"each further container: {further:.0f} KiB of PSS, of everything of ours")  # noqa: T201
        assert further < 2048
        await asyncio.gather(*(handle.delete() for handle in handles))


def proportional_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(pid)
