"""The registry's blobs against nginx sending the same file, both in one run.

    .venv/bin/python benchmarks/registry.py [--size MIB] [--seconds N] [--clients N]

Needs nginx and wrk (Debian: nginx-light, wrk). nginx runs with one worker and sendfile, as a distribution's
package does by default but for the number of workers: our server is one process, too. Budget: at least 0.8.
Also: the time of one download of the file, a chunked upload against sha256 alone, and the server's memory.
"""

import argparse
import hashlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEBIBYTE = 1 << 20
NGINX = """
worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f;
  uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
  server {{ listen 127.0.0.1:{port}; root {root}/www; }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait()


def push(port: int, data: bytes) -> tuple[str, float]:
    """Push a blob in one request; return its path and the seconds that it took."""
    base = f"http://127.0.0.1:{port}"
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    started = time.perf_counter()
    request = urllib.request.Request(f"{base}/v2/bench/blobs/uploads/", method="POST", data=b"")
    location = urllib.request.urlopen(request).headers["Location"]
    request = urllib.request.Request(f"{base}{location}?digest={digest}", method="PUT", data=data)
    request.add_header("Content-Type", "application/octet-stream")
    urllib.request.urlopen(request).read()
    return f"/v2/bench/blobs/{digest}", time.perf_counter() - started


def wrk(url: str, clients: int, seconds: int) -> tuple[float, int]:
    """Return MB/s and failed requests."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "60s", url]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", out)
    assert match, out
    unit = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[match[2]]
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    errors = sum(map(int, failed.groups())) if failed else 0
    return float(match[1]) * unit / 1e6, errors + (int(refused[1]) if refused else 0)


def memory_mb(pid: int) -> tuple[float, float]:
    """Return the resident memory now and at its peak."""
    status = Path(f"/proc/{pid}/status").read_text()
    now, peak = (re.search(rf"{name}:\s+(\d+)", status) for name in ("VmRSS", "VmHWM"))
    assert now
    assert peak
    return int(now[1]) / 1024, int(peak[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=100, help="MiB of the file")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--clients", type=int, default=200, help="in the last measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        measure(options, Path(scratch))


def measure(options: argparse.Namespace, scratch: Path) -> None:
    data = secrets.token_bytes(MEBIBYTE) * options.size
    nginx_port, our_port = free_port(), free_port()
    (scratch / "www").mkdir()
    (scratch / "www" / "blob").write_bytes(data)
    scratch.chmod(0o755)
    (scratch / "nginx.conf").write_text(
        NGINX.format(root=scratch, port=nginx_port, user="user root;" if not os.getuid() else "")
    )
    ours = [sys.executable, "-m", "tiffin.cli.main", "registry", "serve", "--root", f"{scratch}/r",
            "--listen", f"127.0.0.1:{our_port}", "--log-format", "none"]  # fmt: skip
    theirs = ["nginx", "-c", f"{scratch}/nginx.conf", "-e", f"{scratch}/error.log"]
    with process(theirs), process(ours) as server:
        wait_for(nginx_port)
        wait_for(our_port)
        before, _ = memory_mb(server.pid)
        path, seconds = push(our_port, data)
        started = time.perf_counter()
        hashlib.sha256(data).hexdigest()
        hashing = time.perf_counter() - started
        _, peak = memory_mb(server.pid)
        size = len(data) / 1e6
        print(f"upload of {size:.0f} MB: {size / seconds:.0f} MB/s with fsync; "
              f"sha256 alone {size / hashing:.0f} MB/s; memory {before:.0f} → {peak:.0f} MB")  # fmt: skip
        urls = {
            "nginx": f"http://127.0.0.1:{nginx_port}/blob",
            "ours": f"http://127.0.0.1:{our_port}{path}",
        }
        for clients in (1, 8, options.clients):
            best: dict[str, float] = {}
            errors = 0
            for _ in range(options.rounds):
                for name, url in urls.items():
                    rate, failed = wrk(url, clients, options.seconds)
                    best[name] = max(best.get(name, 0.0), rate)
                    errors += failed if name == "ours" else 0
            print(f"{clients:4} clients: nginx {best['nginx']:7.0f} MB/s, ours {best['ours']:7.0f} MB/s, "
                  f"ratio {best['ours'] / best['nginx']:.2f}, {errors} errors")  # fmt: skip
        print(f"memory after that: {memory_mb(server.pid)[0]:.0f} MB")


if __name__ == "__main__":
    main()
