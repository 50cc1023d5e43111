"""Networks, names and published ports."""

import json
import socket
import subprocess
import threading

import pytest
from tests.e2e.e2e_daemon import Daemon

from tiffin.linux.syscalls import CLONE_NEWNET, setns

pytestmark = pytest.mark.e2e

SERVER = "mkdir /www; echo page > /www/index.html; exec httpd -f -p 80 -h /www"


def wait_for_server(daemon: Daemon, name: str) -> None:
    """Wait until the server in the container listens."""
    listens = "grep -q ':0050 .* 0A ' /proc/net/tcp /proc/net/tcp6"
    daemon.wait_until(
        lambda: daemon.docker("exec", name, "sh", "-c", listens, check=False).returncode == 0,
        "the server listens",
    )


def test_names_resolve_on_a_network_of_ones_own(daemon: Daemon, busybox: str) -> None:
    daemon.docker("network", "create", "front")
    daemon.docker("run", "-d", "--name", "web", "--network", "front", "--network-alias", "www", busybox,
                  "sh", "-c", SERVER)  # fmt: skip
    wait_for_server(daemon, "web")
    for name in ("web", "www", "web.front"):
        done = daemon.docker("run", "--rm", "--network", "front", busybox, "wget", "-qO-", f"http://{name}/",
                             check=False)  # fmt: skip
        assert done.stdout == "page\n", (name, done)
    other = daemon.docker(
        "run", "--rm", busybox, "sh", "-c", "timeout 3 wget -qO- http://web/; exit $?", check=False
    )
    assert other.returncode != 0
    found = json.loads(daemon.docker("network", "inspect", "front").stdout)[0]
    assert [c["Name"] for c in found["Containers"].values()] == ["web"]
    refused = daemon.docker("network", "rm", "front", check=False)
    assert "has active endpoints" in refused.stderr
    daemon.docker("rm", "-f", "web")
    daemon.docker("network", "rm", "front")


def test_networks_are_apart(daemon: Daemon, busybox: str) -> None:
    daemon.docker("network", "create", "one")
    daemon.docker("network", "create", "two")
    daemon.docker("run", "-d", "--name", "aa", "--network", "one", busybox, "sh", "-c", SERVER)
    wait_for_server(daemon, "aa")
    address = daemon.docker(
        "inspect", "-f", "{{.NetworkSettings.Networks.one.IPAddress}}", "aa"
    ).stdout.strip()
    script = f"timeout 3 wget -qO- http://{address}/; exit $?"
    done = daemon.docker(
        "run", "--rm", "--network", "two", busybox, "sh", "-c", script, check=False
    )
    assert done.returncode != 0
    daemon.docker("network", "connect", "two", "aa")
    again = daemon.docker("run", "--rm", "--network", "two", busybox, "wget", "-qO-", "http://aa/")
    assert again.stdout == "page\n"
    daemon.docker("network", "disconnect", "two", "aa")
    daemon.docker("rm", "-f", "aa")
    daemon.docker("network", "rm", "one", "two")


def test_published_ports(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "pub", "-p", "80", busybox, "sh", "-c", SERVER)
    wait_for_server(daemon, "pub")
    lines = daemon.docker("port", "pub", "80").stdout.split()
    port = int(lines[0].rpartition(":")[2])
    own = subprocess.run(
        ["hostname", "-I"], capture_output=True, text=True, check=True
    ).stdout.split()
    hosts = ["127.0.0.1", "::1", *(address for address in own if ":" not in address)]
    for host in hosts:
        with socket.create_connection((host, port), 5) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            data = b""
            while piece := client.recv(4096):
                data += piece
        assert data.endswith(b"page\n"), host
    taken = daemon.docker("run", "--rm", "-p", f"{port}:80", busybox, "true", check=False)
    assert taken.returncode == 125
    assert "port is already allocated" in taken.stderr
    daemon.docker("rm", "-f", "pub")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 5)


def socket_inside(pid: int) -> socket.socket:
    """Return a UDP socket that lives in the network namespace of a process."""
    made: list[socket.socket] = []

    def make() -> None:
        with open(f"/proc/{pid}/ns/net", "rb") as namespace:
            setns(namespace.fileno(), CLONE_NEWNET)
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def test_udp(daemon: Daemon, busybox: str) -> None:
    daemon.docker(
        "run", "-d", "--name", "udp", "-p", "127.0.0.1::5353/udp", busybox, "sleep", "1000"
    )
    port = int(daemon.docker("port", "udp", "5353/udp").stdout.strip().rpartition(":")[2])
    pid = int(daemon.docker("inspect", "-f", "{{.State.Pid}}", "udp").stdout)
    with socket_inside(pid) as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        server.bind(("", 5353))
        for one in (server, client):
            one.settimeout(5)
        client.sendto(b"ping", ("127.0.0.1", port))
        data, sender = server.recvfrom(100)
        server.sendto(data.upper(), sender)
        assert client.recv(100) == b"PING"
    daemon.docker("rm", "-f", "udp")


def test_shared_and_host_networks(daemon: Daemon, busybox: str) -> None:
    host = daemon.docker("run", "--rm", "--network", "host", busybox, "ls", "/sys/class/net").stdout
    assert set(host.split()) >= {
        name for _, name in socket.if_nameindex() if name in ("lo", "eth0")
    }
    daemon.docker("run", "-d", "--name", "owner", busybox, "sleep", "1000")
    one = daemon.docker("exec", "owner", "readlink", "/proc/self/ns/net").stdout
    two = daemon.docker("run", "--rm", "--network", "container:owner", busybox, "readlink",
                        "/proc/self/ns/net").stdout  # fmt: skip
    assert one == two
    daemon.docker("rm", "-f", "owner")


def test_fixed_addresses_and_bad_ones(daemon: Daemon, busybox: str) -> None:
    daemon.docker(
        "network", "create", "--subnet", "10.177.9.0/24", "--gateway", "10.177.9.254", "fixed"
    )
    done = daemon.docker(
        "run", "--rm", "--network", "fixed", "--ip", "10.177.9.7", busybox, "ip", "route"
    )
    assert "default via 10.177.9.254" in done.stdout
    assert "src 10.177.9.7" in done.stdout
    bad = daemon.docker(
        "run", "--rm", "--network", "fixed", "--ip", "10.1.1.1", busybox, check=False
    )
    assert bad.returncode == 125
    overlap = daemon.docker("network", "create", "--subnet", "10.177.9.0/25", "again", check=False)
    assert "overlaps" in overlap.stderr
    daemon.docker("network", "rm", "fixed")


def test_predefined_networks_stay(daemon: Daemon) -> None:
    done = daemon.docker("network", "rm", "bridge", check=False)
    assert "pre-defined network" in done.stderr
