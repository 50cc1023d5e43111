"""The engine as Docker's Python SDK sees it: where the SDK leans on the engine's exact manners."""

import gc
import warnings
from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError, ContainerError, ImageLoadError
from tests.e2e.e2e_daemon import Daemon


@pytest.fixture(scope="module")
def client(daemon: Daemon, busybox: str) -> Iterator[docker.DockerClient]:
    assert busybox == "bb:latest"
    connected = docker.DockerClient(base_url=daemon.host, timeout=60)
    yield connected
    connected.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the SDK forgets hijacked connections
        gc.collect()


def test_a_followed_log_comes_line_by_line(client: docker.DockerClient) -> None:
    container = client.containers.run("bb", ["sh", "-c", "echo a; echo b; echo c"], detach=True)
    container.wait()
    assert list(container.logs(stream=True)) == [b"a\n", b"b\n", b"c\n"]
    container.remove()


def test_run_returns_output_or_raises(client: docker.DockerClient) -> None:
    assert client.containers.run("bb", "echo hello world", remove=True) == b"hello world\n"
    with pytest.raises(ContainerError) as caught:
        client.containers.run("bb", ["sh", "-c", "echo bad >&2; exit 3"])
    assert (caught.value.exit_status, caught.value.stderr) == (3, b"bad\n")
    caught.value.container.remove()


def test_an_exec_is_framed_as_its_start_asks(client: docker.DockerClient) -> None:
    container = client.containers.run("bb", "top", detach=True)
    for created in (True, False):
        made = client.api.exec_create(container.id, ["printf", "hello"], tty=created)
        assert client.api.exec_start(made["Id"], tty=False) == b"hello"
    container.remove(force=True)


def test_waiting_ends_with_each_run_though_a_policy_restarts(client: docker.DockerClient) -> None:
    container = client.containers.run(
        "bb", ["sh", "-c", "sleep 0.2; exit 4"], detach=True, restart_policy={"Name": "always"}
    )
    assert container.wait(timeout=20)["StatusCode"] == 4
    with pytest.raises(APIError, match="stop the container before removing or force remove"):
        container.remove()
    container.remove(force=True)


def test_an_archive_that_is_none_is_an_error_in_the_stream(client: docker.DockerClient) -> None:
    with pytest.raises(ImageLoadError):
        client.images.load(b"abc")


def test_links_given_when_connecting_resolve(client: docker.DockerClient) -> None:
    network = client.networks.create("sdk links")
    target = client.containers.run("bb", "top", detach=True, name="sdk-target", network="sdk links")
    container = client.containers.run("bb", "top", detach=True)
    network.connect(container, links={"sdk-target": "bar"})
    assert container.exec_run("nslookup bar").exit_code == 0
    network.disconnect(container, force=True)
    with pytest.raises(APIError, match="is not connected"):
        network.disconnect(container, force=True)
    for item in (target, container):
        item.remove(force=True)
    network.remove()


def test_links_on_the_default_bridge(client: docker.DockerClient) -> None:
    target = client.containers.run("bb", "top", detach=True, name="sdk-db", environment={"A": "b"})
    container = client.containers.create("bb", "env", name="sdk-web", links={"sdk-db": "my-db"})
    container.start()
    assert container.wait()["StatusCode"] == 0
    assert {b"MY_DB_NAME=/sdk-web/my-db", b"MY_DB_ENV_A=b"} <= set(container.logs().splitlines())
    client.api.remove_container("sdk-web/my-db", link=True)
    container.reload()
    assert not container.attrs["HostConfig"]["Links"]
    for item in (target, container):
        item.remove(force=True)


def test_a_container_that_ends_can_be_committed(client: docker.DockerClient) -> None:
    for _ in range(5):
        container = client.containers.run("bb", "true", detach=True)
        image = container.commit()
        container.remove(force=True)
        client.images.remove(image.id)


def test_a_killed_child_shows_while_the_container_runs(client: docker.DockerClient) -> None:
    script = 'sh -c "dd if=/dev/zero of=/dev/null bs=200M count=1"; echo over; sleep 60'
    container = client.containers.run("bb", ["sh", "-c", script], detach=True, mem_limit="20m")
    lines = container.logs(stream=True, follow=True, stderr=False)
    assert next(lines) == b"over\n"
    lines.close()
    container.reload()
    assert container.attrs["State"]["Running"]
    assert container.attrs["State"]["OOMKilled"]
    container.remove(force=True)


def test_older_clients_learn_of_bridge_filters(daemon: Daemon) -> None:
    assert daemon.api("GET", "/v1.41/info")[1]["BridgeNfIptables"] is True
    assert "BridgeNfIptables" not in daemon.api("GET", "/v1.50/info")[1]
