"""Networks, names and published ports."""

import json
import socket
import subprocess

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

SERVER = "while :; do echo -e 'HTTP/1.0 200 OK\\r\\n\\r\\npage' | nc -l -p 80; done"


def test_names_resolve_on_a_network_of_ones_own(daemon: Daemon, busybox: str) -> None:
    daemon.docker("network", "create", "front")
    daemon.docker("run", "-d", "--name", "web", "--network", "front", "--network-alias", "www", busybox,
                  "sh", "-c", SERVER)  # fmt: skip
    for name in ("web", "www", "web.front"):
        done = daemon.docker("run", "--rm", "--network", "front", busybox, "wget", "-qO-", f"http://{name}/",
                             check=False)  # fmt: skip
        assert done.stdout == "page\n", (name, done)
    other = daemon.docker(
        "run", "--rm", busybox, "wget", "-T", "2", "-qO-", "http://web/", check=False
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
    daemon.docker("run", "-d", "--name", "a", "--network", "one", busybox, "sh", "-c", SERVER)
    address = daemon.docker(
        "inspect", "-f", "{{.NetworkSettings.Networks.one.IPAddress}}", "a"
    ).stdout.strip()
    script = f"wget -T 2 -qO- http://{address}/"
    done = daemon.docker(
        "run", "--rm", "--network", "two", busybox, "sh", "-c", script, check=False
    )
    assert done.returncode != 0
    daemon.docker("network", "connect", "two", "a")
    again = daemon.docker(
        "run", "--rm", "--network", "two", busybox, "wget", "-T", "5", "-qO-", "http://a/"
    )
    assert again.stdout == "page\n"
    daemon.docker("network", "disconnect", "two", "a")
    daemon.docker("rm", "-f", "a")
    daemon.docker("network", "rm", "one", "two")


def test_published_ports(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "pub", "-p", "80", busybox, "sh", "-c", SERVER)
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


def test_udp(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "-d", "--name", "udp", "-p", "127.0.0.1::5353/udp", busybox, "sh", "-c",
                  "while :; do nc -u -l -p 5353 -e cat; done")  # fmt: skip
    port = int(daemon.docker("port", "udp", "5353/udp").stdout.strip().rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        for _ in range(20):
            client.sendto(b"ping", ("127.0.0.1", port))
            try:
                assert client.recv(100) == b"ping"
                break
            except OSError:
                continue
        else:
            pytest.fail("no answer")
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
