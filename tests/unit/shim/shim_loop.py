"""Running a shim's loop in a thread, for tests that play its peers."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tiffin.shim.loop import READ, Loop


@contextmanager
def running(set_up: Callable[[Loop], Callable[[], None]]) -> Iterator[None]:
    """Run what `set_up` puts into a loop; what it returns is called at the end, in the loop."""
    loop = Loop()
    faults: list[str] = []
    loop.on_fault = lambda: faults.append("a handler failed")
    read_end, write_end = os.pipe()
    tear_down = set_up(loop)

    def stop(_events: int) -> None:
        tear_down()
        loop.remove(read_end)
        loop.stop()

    loop.add(read_end, READ, stop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield
    finally:
        os.write(write_end, b"x")
        thread.join(10)
        assert not thread.is_alive()
        loop.close()
        os.close(read_end)
        os.close(write_end)
    assert faults == []
