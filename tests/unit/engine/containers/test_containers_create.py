from pathlib import Path

import pytest

from tiffin.api.types.containers import CreateRequest, HealthConfig
from tiffin.api.types.host_config import HostConfig, LogConfig
from tiffin.api.types.mounts import MountRequest
from tiffin.api.types.resources import RestartPolicy
from tiffin.engine.containers.service import Containers
from tiffin.errors import Conflict, InvalidArgument, NotFound, TiffinError
from tiffin.snapshots.snapshotter import Kind
from tiffin.spec.container_config import ContainerConfig, Healthcheck
from tiffin.testing.fake_engine import Lab, make_image


async def test_create_makes_a_snapshot_a_directory_and_a_record(
    lab: Lab, service: Containers
) -> None:
    response = await service.create(CreateRequest(image="bb"), "web")
    container = service.find("web")
    assert container.id == response.id
    assert response.warnings == []
    assert lab.context.snapshotter.stat(container.id).kind is Kind.ACTIVE
    assert lab.roots.container(container.id).is_dir()
    assert [c.name for c in lab.context.store.load()] == ["web"]
    event = lab.events.all[-1]
    assert (event.kind, event.action, event.actor) == ("container", "create", container.id)
    assert event.attributes == {"image": "bb", "name": "web"}
    assert container.spec.config.cmd == ["sh"]
    assert container.spec.config.env == ["A=1"]
    assert container.spec.config.hostname == container.id[:12]


async def test_a_record_survives_as_it_was(lab: Lab, service: Containers) -> None:
    host = HostConfig(binds=["data:/data:ro"], cap_add=["NET_ADMIN"], tmpfs={"/t": "size=1m"})
    await service.create(
        CreateRequest(image="bb", labels={"a": "b"}, cmd=["x", "y"], host_config=host), "web"
    )
    container = service.find("web")
    (loaded,) = lab.context.store.load()
    assert loaded.spec == container.spec
    assert loaded.instance == container.instance


async def test_nothing_is_left_of_a_create_that_fails(lab: Lab, service: Containers) -> None:
    host = HostConfig(
        binds=["data:/data"], mounts=[MountRequest(type="image", source="gone", target="/i")]
    )
    request = CreateRequest(image="bb", volumes={"/anonymous": {}}, host_config=host)
    with pytest.raises(NotFound, match="No such image: gone:latest"):
        await service.create(request, "web")
    assert list(lab.context.snapshotter.walk()) == []
    assert not any(lab.roots.container("x").parent.iterdir())
    assert list(lab.context.store.load()) == []
    assert all(not users for users in lab.volumes.users.values())
    assert lab.events.all == []
    await service.create(CreateRequest(image="bb"), "web")


async def test_names(service: Containers) -> None:
    first = await service.create(CreateRequest(image="bb"), "/web")
    with pytest.raises(Conflict) as caught:
        await service.create(CreateRequest(image="bb"), "web")
    assert str(caught.value) == (
        f'Conflict. The container name "/web" is already in use by container "{first.id}". You have'
        " to remove (or rename) that container to be able to reuse that name."
    )
    for bad in ("a", "-x", "a b", "ü", "a/b", "", "x" * 0 + "/"):
        if bad:
            with pytest.raises(InvalidArgument, match="Invalid container name"):
                await service.create(CreateRequest(image="bb"), bad)
    made = await service.create(CreateRequest(image="bb"))
    assert "_" in service.find(made.id).name


async def test_references(service: Containers) -> None:
    made = await service.create(CreateRequest(image="bb"), "web")
    for reference in (made.id, made.id[:12], made.id[:4], "web", "/web"):
        assert service.find(reference).id == made.id
    with pytest.raises(NotFound, match="No such container: nope"):
        service.find("nope")
    for _ in range(20):
        await service.create(CreateRequest(image="bb"))
    first = {}
    for number in "0123456789abcdef":
        try:
            first[number] = service.find(number)
        except NotFound:
            continue
        except InvalidArgument as error:
            assert str(error) == f"multiple IDs found with provided prefix: {number}"  # noqa: PT017
            return
    pytest.fail("21 ids cannot all start differently")


async def test_an_image_that_does_not_exist(service: Containers) -> None:
    with pytest.raises(NotFound, match=r"^No such image: nope:latest$"):
        await service.create(CreateRequest(image="nope"))


async def test_another_platform_is_refused(service: Containers) -> None:
    with pytest.raises(NotFound, match="does not match the specified platform"):
        await service.create(CreateRequest(image="bb"), platform="linux/s390x")


async def test_the_image_completes_the_configuration(lab: Lab, service: Containers) -> None:
    lab.images.images["full"] = make_image(
        ContainerConfig(
            user="u", env=("A=1", "B=2"), entrypoint=("/entry",), cmd=("c",), working_dir="/w",
            labels={"x": "1", "y": "2"}, stop_signal="SIGINT", exposed_ports=("80/tcp", "53/udp"),
            volumes=("/data",), healthcheck=Healthcheck(("CMD", "t"), interval_ns=5_000_000_000),
        )
    )  # fmt: skip
    request = CreateRequest(
        image="full", env=["B=3", "C"], labels={"y": "3"}, exposed_ports={"81/tcp": {}},
        healthcheck=HealthConfig(retries=7),
    )  # fmt: skip
    made = await service.create(request)
    spec = service.find(made.id).spec
    config = spec.config
    assert config.env == ["B=3", "C", "A=1"]
    assert config.labels == {"x": "1", "y": "3"}
    assert set(config.exposed_ports or {}) == {"80/tcp", "53/udp", "81/tcp"}
    assert (config.entrypoint, config.cmd) == (["/entry"], ["c"])
    assert (config.user, config.working_dir, config.stop_signal) == ("u", "/w", "SIGINT")
    assert config.healthcheck == HealthConfig(test=["CMD", "t"], interval=5_000_000_000, retries=7)
    assert [(p.kind, p.target, p.anonymous) for p in spec.mounts] == [("volume", "/data", True)]
    assert lab.volumes.populated == [(spec.mounts[0].volume, "/data")]


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, (["/e"], ["c"])),
        (None, ["x"], (["/e"], ["x"])),
        (["n"], None, (["n"], None)),
        ([""], ["x"], (None, ["x"])),
        ([], ["x"], ([], ["x"])),
        ("one", "two", (["one"], ["two"])),
    ],
)
async def test_entrypoint_and_command(
    lab: Lab,
    service: Containers,
    entrypoint: list[str] | str | None,
    cmd: list[str] | str | None,
    expected: tuple[object, object],
) -> None:
    lab.images.images["e"] = make_image(ContainerConfig(entrypoint=("/e",), cmd=("c",)))
    made = await service.create(CreateRequest(image="e", entrypoint=entrypoint, cmd=cmd))
    config = service.find(made.id).spec.config
    assert (config.entrypoint, config.cmd) == expected


async def test_nothing_to_run(lab: Lab, service: Containers) -> None:
    lab.images.images["empty"] = make_image(ContainerConfig())
    with pytest.raises(InvalidArgument, match=r"^no command specified$"):
        await service.create(CreateRequest(image="empty"))


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (HostConfig(memory=1024), "Minimum memory limit allowed is 6MB"),
        (HostConfig(nano_cpus=10**15), "range of CPUs is from 0.01"),
        (HostConfig(cap_add=["nope"]), 'invalid CapAdd: unknown capability: "CAP_NOPE"'),
        (HostConfig(cap_drop=["nope"]), 'invalid CapDrop: unknown capability: "CAP_NOPE"'),
        (HostConfig(pid_mode="nope"), "invalid PID mode: nope"),
        (HostConfig(ipc_mode="nope"), "invalid IPC mode: nope"),
        (HostConfig(security_opt=["nope"]), 'invalid --security-opt 1: "nope"'),
        (HostConfig(security_opt=["nope=1"]), 'invalid --security-opt 2: "nope=1"'),
        (HostConfig(security_opt=["seccomp={"]), "Decoding seccomp profile failed"),
        (HostConfig(sysctls={"kernel.panic": "1"}), "is not in a separate kernel namespace"),
        (
            HostConfig(sysctls={"net.core.somaxconn": "1"}, network_mode="host"),
            "not allowed in host network namespace",
        ),
        (HostConfig(restart_policy=RestartPolicy(name="x")), "unknown policy 'x'"),
        (
            HostConfig(restart_policy=RestartPolicy(name="always"), auto_remove=True),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (HostConfig(oom_score_adj=2000), "range for oom score adj is"),
        (HostConfig(runtime="kata"), "unknown or invalid runtime name: kata"),
        (HostConfig(log_config=LogConfig(type="x")), "no log driver named 'x' is registered"),
        (HostConfig(shm_size=-1), "SHM size can not be less than 0"),
        (HostConfig(binds=["a:b"]), "mount path must be absolute"),
        (HostConfig(binds=["/a:/b:zz"]), "invalid mode: zz"),
        (HostConfig(binds=["/a:/b", "/c:/b"]), "Duplicate mount point: /b"),
        (HostConfig(tmpfs={"/t": "nope"}), 'invalid tmpfs option ["nope"]'),
        (HostConfig(cgroup_parent="../x"), "invalid cgroup parent"),
        (HostConfig(console_size=[1]), "invalid console size"),
        (HostConfig(port_bindings={"x/tcp": []}), 'invalid port specification: "x/tcp"'),
        (HostConfig(network_mode="container:x", dns=["1.1.1.1"]), "dns and the network mode"),
        (HostConfig(network_mode="host", links=["a"]), "can't be used with links"),
    ],
)  # fmt: skip
async def test_settings_that_cannot_be_meant(
    lab: Lab, service: Containers, host: HostConfig, message: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await service.create(CreateRequest(image="bb", host_config=host))
    assert message in str(caught.value)
    assert list(lab.context.snapshotter.walk()) == []


async def test_missing_bind_sources(tmp_path: Path, service: Containers) -> None:
    gone = str(tmp_path / "gone")
    mount = MountRequest(type="bind", source=gone, target="/x")
    with pytest.raises(
        InvalidArgument,
        match='invalid mount config for type "bind": bind source path does not exist: ',
    ):
        await service.create(CreateRequest(image="bb", host_config=HostConfig(mounts=[mount])))
    made = await service.create(
        CreateRequest(image="bb", host_config=HostConfig(binds=[f"{gone}:/x"]))
    )
    await service.start(made.id)
    assert Path(gone).is_dir()


async def test_defaults_of_host_config(service: Containers) -> None:
    made = await service.create(CreateRequest(image="bb", host_config=HostConfig(memory=100 << 20)))
    host = service.find(made.id).spec.host
    assert host.memory_swap == 200 << 20
    assert host.shm_size == 64 << 20
    assert (host.ipc_mode, host.network_mode) == ("private", "bridge")
    assert host.restart_policy.name == "no"
    assert host.log_config == LogConfig(type="json-file", config={})
    assert "/proc/kcore" in (host.masked_paths or ())


async def test_modes_that_name_a_container_keep_its_id(service: Containers) -> None:
    other = await service.create(CreateRequest(image="bb"), "other")
    made = await service.create(
        CreateRequest(image="bb", host_config=HostConfig(network_mode="container:other"))
    )
    assert service.find(made.id).spec.host.network_mode == f"container:{other.id}"


async def test_volumes_from(lab: Lab, service: Containers) -> None:
    first = HostConfig(binds=["data:/data"], tmpfs={"/t": ""})
    await service.create(
        CreateRequest(image="bb", host_config=first, volumes={"/anonymous": {}}), "one"
    )
    second = HostConfig(volumes_from=["one:ro"])
    await service.create(CreateRequest(image="bb", host_config=second), "two")
    points = service.find("two").spec.mounts
    assert {(p.target, p.read_only, p.anonymous) for p in points} == {
        ("/data", True, False), ("/anonymous", True, True),
    }  # fmt: skip
    with pytest.raises(TiffinError, match="No such container: nope"):
        await service.create(
            CreateRequest(image="bb", host_config=HostConfig(volumes_from=["nope"]))
        )
    await service.remove("two", volumes=True)
    assert len(lab.volumes.labels) == 2
    await service.remove("one", volumes=True)
    assert list(lab.volumes.labels) == ["data"]
