"""A daemon to be killed: makes one task with an inherited client, says so, and waits."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from tests.root.shim.shim_rig import Rig

from tiffin.engine.roots import Roots
from tiffin.engine.tasks.contract import Attachment
from tiffin.engine.tasks.service import Tasks


async def main() -> None:
    choices = json.loads(sys.argv[1])
    directory = Path(choices["directory"])
    rig = Rig(directory, Path(choices["rootfs"]), Roots(directory / "data", directory / "exec"))
    tasks = Tasks(rig.roots)
    await tasks.start()
    request = rig.request(*choices["args"], open_stdin=True)
    if choices["fd"] >= 0:
        request = replace(request, attachments=(Attachment(choices["fd"], stdin=True),))
    handle = await tasks.create(request)
    if choices["start"]:
        await handle.start()
    print(json.dumps({"id": request.id, "pid": handle.pid}), flush=True)  # noqa: T201
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
