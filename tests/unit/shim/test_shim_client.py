"""Backlogs: order, bounds, spilling."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.shim import spill
from tiffin.shim.spill import Backlog


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=3000), st.booleans(), st.booleans())),
)
def test_order_is_kept_whatever_spills(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, bool, bool]]
) -> None:
    ours, theirs = socket.socketpair()
    received = bytearray()
    with pytest.MonkeyPatch.context() as patch, ours, theirs:
        patch.setattr(spill, "MEMORY_LIMIT", 2000)
        ours.setblocking(False)
        theirs.setblocking(False)
        backlog = Backlog(str(tmp_path_factory.getbasetemp()))
        sent = b"".join(data for data, _spills, _flush in steps)
        for data, spills, flush in steps:
            backlog.append(data, spill=spills)
            if flush:
                backlog.send_to(ours)
        while backlog or len(received) < len(sent):
            backlog.send_to(ours)
            received += theirs.recv(1 << 20)
        assert bytes(received) == sent
        assert not backlog
        backlog.close()


def test_the_file_has_no_name_and_is_emptied(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        backlog = Backlog(str(tmp_path))
        for _ in range(40):
            backlog.append(bytes(1 << 16), spill=True)
        assert list(tmp_path.iterdir()) == []
        total = 0
        while not backlog.send_to(ours):
            total += len(theirs.recv(1 << 20))
        while total < 40 << 16:
            total += len(theirs.recv(1 << 20))
        assert os.fstat(backlog._file).st_size == 0
        backlog.close()
