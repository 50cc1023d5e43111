"""Small things that Docker's own suites look at."""

import os
import signal
import time
from collections.abc import Sequence

import msgspec
import pytest
from tests.unit.engine.containers.conftest import Make

from tiffin.api.filters import Filters
from tiffin.api.types.containers import Health, HealthResult
from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.environment import environment
from tiffin.engine.bundle.mount_words import parse_bind
from tiffin.engine.bundle.users import resolve_user
from tiffin.engine.containers.listing import ListOptions
from tiffin.engine.containers.model import Instance
from tiffin.engine.containers.resize import parse_size
from tiffin.engine.containers.service import Containers
from tiffin.engine.containers.settle import has_decided, until_heard
from tiffin.engine.containers.status import Status
from tiffin.errors import InvalidArgument
from tiffin.testing.fake_engine import Lab


def test_home_is_never_empty() -> None:
    shown = environment(["HOME="], hostname="", terminal=False, home="/root")
    assert "HOME=/root" in shown
    shown = environment(["HOME=/h"], hostname="", terminal=False, home="/root")
    assert "HOME=/h" in shown


@pytest.mark.parametrize("user", ["-1", "0:-1", "2147483648"])
def test_ids_have_a_range(user: str) -> None:
    def nothing(path: str) -> Sequence[str]:
        return ()

    with pytest.raises(InvalidArgument, match="uids and gids must be in range 0-2147483647"):
        resolve_user(user, (), nothing)


def test_a_bind_is_not_copied_up() -> None:
    with pytest.raises(InvalidArgument, match="VolumeOptions must not be specified"):
        parse_bind("/foo:/bar:nocopy")


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        ("", "1", 'height "": invalid syntax'),
        ("1", "x", 'width "x": invalid syntax'),
        ("-1", "1", 'height "-1": value out of range'),
        ("1", "4294967296", 'width "4294967296": value out of range'),
    ],
)
def test_sizes_that_are_none(height: str, width: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"invalid resize {message}"):
        parse_size(height, width)


async def test_members_of_a_request_that_are_empty_are_null(make: Make) -> None:
    container = await make("web", volumes={}, exposed_ports={}, working_dir="/a/../b/")
    config = container.spec.config
    assert (config.volumes, config.exposed_ports, config.working_dir) == (None, None, "/b")


@pytest.mark.parametrize(
    "host",
    [
        HostConfig(pid_mode="container:nobody"),
        HostConfig(ipc_mode="container:nobody"),
        HostConfig(volumes_from=["nobody"]),
    ],
)
async def test_a_container_that_does_not_exist_is_no_missing_image(
    make: Make, host: HostConfig
) -> None:
    with pytest.raises(InvalidArgument, match="No such container: nobody"):
        await make("web", host_config=host)


async def test_the_name_of_an_image_that_has_moved_on(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web")
    options = ListOptions(every=True, filters=Filters({"network": ["net"]}))
    (shown,) = await service.list(options)  # a part of the network's id is enough
    assert shown.image == "bb"
    lab.images.images.pop("bb")
    (shown,) = await service.list(options)
    assert shown.image == container.spec.image_id


async def test_a_signal_waits_for_a_program_that_has_just_been_started(make: Make) -> None:
    container = await make("web", start=True)
    assert has_decided(os.getpid(), signal.SIGINT)  # Python's own handler
    assert not has_decided(os.getpid(), signal.SIGUSR2)
    assert has_decided(2**22 + 1, signal.SIGUSR2)  # no such process
    began = time.monotonic()
    await until_heard(container, signal.SIGUSR2, 0.05)
    await until_heard(container, signal.SIGKILL, 60)
    await until_heard(container, signal.SIGINT, 60)
    assert time.monotonic() - began < 30


async def test_binds_of_the_daemon_root_follow_the_host(lab: Lab, make: Make) -> None:
    root = str(lab.roots.data)
    for source in (root, f"{root}/deeper", "/"):
        container = await make(host_config=HostConfig(binds=[f"{source}:/mnt"]))
        assert container.spec.mounts[0].propagation == "rslave"
    container = await make(host_config=HostConfig(binds=["/elsewhere:/mnt"]))
    assert container.spec.mounts[0].propagation == "rprivate"
    container = await make(host_config=HostConfig(binds=[f"{root}:/mnt:rshared"]))
    assert container.spec.mounts[0].propagation == "rshared"
    with pytest.raises(InvalidArgument, match='must use either propagation mode "rslave"'):
        await make(host_config=HostConfig(binds=[f"{root}:/mnt:private"]))


def test_results_of_health_checks_are_stored() -> None:
    health = Health(status="unhealthy", failing_streak=3, log=[HealthResult(exit_code=1)])
    stored = msgspec.json.encode(Instance(health=health))
    assert msgspec.json.decode(stored, type=Instance).health == health


async def test_stop_meets_a_program_that_has_just_ended(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web", start=True)
    lab.tasks.last.end(0)  # nobody has noted it yet
    await service.stop("web")
    assert container.status is Status.EXITED
