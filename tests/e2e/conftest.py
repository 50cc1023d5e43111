"""Fixtures of the end-to-end tests: real daemons."""

import gc
import signal
import warnings
from collections.abc import Callable, Iterator

import pytest
from tests.e2e.e2e_daemon import Daemon


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """One daemon for the tests of a module; at its end nothing may be left."""
    started = Daemon()
    try:
        started.start()
        yield started
    finally:
        started.destroy()


@pytest.fixture(scope="module")
def busybox(daemon: Daemon) -> str:
    """Name of an image with busybox, in `daemon`."""
    return daemon.import_busybox()


@pytest.fixture
def make_daemon() -> Iterator[Callable[..., Daemon]]:
    """Start daemons of a test's own: `make_daemon("--label", "a=b")`."""
    made: list[Daemon] = []

    def make(*options: str) -> Daemon:
        started = Daemon(*options)
        made.append(started)
        started.start()
        return started

    yield make
    for started in made:
        started.destroy()


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> None:
    """Undo what shells do to jobs in the background: clients would inherit that ^C is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def clients_are_forgotten() -> Iterator[None]:
    """Collect what foreign clients left open, lest it be blamed on a later module's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
