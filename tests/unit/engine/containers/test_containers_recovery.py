import time

from tests.unit.engine.containers.conftest import Make, until

from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.resources import RestartPolicy
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.registry import Registry
from tiffin.engine.containers.service import Containers
from tiffin.engine.containers.status import Status
from tiffin.engine.tasks.contract import Exit
from tiffin.testing.fake_engine import Lab


async def next_daemon(lab: Lab, old: Containers) -> Containers:
    """Return the service of a daemon that starts after the old one was killed."""
    await old.close()
    object.__setattr__(lab.context, "registry", Registry())
    lab.events.all.clear()
    service = Containers(lab.context)
    await service.recover()
    await service.resume()
    return service


async def test_a_running_container_is_adopted(lab: Lab, service: Containers, make: Make) -> None:
    old = await make("web", start=True)
    lab.tasks.left[old.id] = lab.tasks.last
    service = await next_daemon(lab, service)
    container = service.find("web")
    assert container is not old
    assert container.status is Status.RUNNING
    assert container.handle is lab.tasks.last
    lab.tasks.last.end(9)
    await until(lambda: container.status is Status.EXITED)
    assert container.instance.exit_code == 9
    await service.close()


async def test_what_stands_paused_is_known_to_be(lab: Lab, service: Containers, make: Make) -> None:
    old = await make("web", start=True)
    lab.tasks.left[old.id] = lab.tasks.last
    await lab.tasks.last.pause()  # by a daemon that was killed before it noted that
    service = await next_daemon(lab, service)
    container = service.find("web")
    assert container.status is Status.PAUSED
    await service.unpause("web")
    assert service.find("web").status is Status.RUNNING
    await service.close()


async def test_an_end_in_between_is_recorded(lab: Lab, service: Containers, make: Make) -> None:
    old = await make("web", start=True)
    finished = time.time_ns()
    lab.tasks.left[old.id] = Exit(5, finished)
    service = await next_daemon(lab, service)
    container = service.find("web")
    assert (container.status, container.instance.exit_code) == (Status.EXITED, 5)
    assert container.instance.finished_ns == finished
    assert lab.events.actions() == ["die"]
    assert lab.networks.allocated == {}
    service = await next_daemon(lab, service)
    assert lab.events.actions() == []
    await service.close()


async def test_lost_with_the_machine(lab: Lab, service: Containers, make: Make) -> None:
    policy = RestartPolicy(name="unless-stopped")
    await make("plain", start=True)
    await make("again", start=True, host_config=HostConfig(restart_policy=policy))
    await make("stopped", start=True, host_config=HostConfig(restart_policy=policy))
    await service.stop("stopped")
    service = await next_daemon(lab, service)
    assert service.find("plain").instance.exit_code == 255
    again: Container = service.find("again")
    await until(lambda: again.status is Status.RUNNING)
    assert service.find("stopped").status is Status.EXITED
    await service.close()


async def test_half_a_start_is_taken_back(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    handle = lab.tasks.last
    handle.started_ns = 0
    lab.tasks.left[container.id] = handle
    container.instance.status = Status.CREATED
    lab.context.store.save(container)
    service = await next_daemon(lab, service)
    assert handle.is_deleted
    assert service.find("web").status is Status.CREATED
    await service.close()


async def test_orphans_are_removed(lab: Lab, service: Containers, make: Make) -> None:
    await make("web")
    orphan = "ab" * 32
    lab.context.snapshotter.prepare(orphan)
    lab.context.snapshotter.prepare("build-1")
    lab.roots.container(orphan).mkdir()
    lab.roots.task(orphan).mkdir(parents=True)
    service = await next_daemon(lab, service)
    names = {info.name for info in lab.context.snapshotter.walk()}
    assert names == {service.find("web").id, "build-1"}
    assert not lab.roots.container(orphan).exists()
    assert not lab.roots.task(orphan).exists()
    await service.close()


async def test_auto_remove_of_one_that_ended(lab: Lab, service: Containers, make: Make) -> None:
    old = await make("web", start=True, host_config=HostConfig(auto_remove=True))
    lab.tasks.left[old.id] = Exit(0, time.time_ns())
    service = await next_daemon(lab, service)
    await until(lambda: old.id not in lab.context.registry)
    assert list(lab.context.store.load()) == []
    await service.close()


async def test_volumes_are_held_again(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", host_config=HostConfig(binds=["data:/data"]))
    lab.volumes.users.clear()
    service = await next_daemon(lab, service)
    assert lab.volumes.users == {"data": {container.id}}
    await service.close()
