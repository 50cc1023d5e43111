"""The engine against its budget (docs/performance.md), every ratio taken in this one run.

Starts a daemon of its own, measures through the API with a raw client, and prints a table.
Run as root: `python benchmarks/engine.py [--quick]`.
"""

import argparse
import concurrent.futures
import contextlib
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import floor as bare

from tiffin.client.api import Api
from tiffin.client.endpoint import Endpoint
from tiffin.engine.roots import Roots

IMAGE = "bench:latest"
IDLE_AFTER_S = 4.0
"""Longer than the spawner keeps a spare shim."""


class Engine:
    """A daemon with roots of its own."""

    def __init__(self, base: Path) -> None:
        self.roots = Roots(base / "data", base / "run")
        self.socket = base / "engine.sock"
        self.log = (base / "log").open("wb")
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tiffin.daemon.main", "--host", f"unix://{self.socket}",
             "--data-root", str(self.roots.data), "--exec-root", str(self.roots.exec),
             "--bip", "10.247.0.1/20", "--config-file", "/dev/null"],
            stdout=self.log, stderr=self.log, start_new_session=True,
        )  # fmt: skip
        self.api = Api(Endpoint("unix", str(self.socket)), "1.50")
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(Exception):
                self.api.ping()
                self.first_answer_s = time.perf_counter() - begun
                return
            if time.monotonic() > deadline:
                raise RuntimeError(Path(self.log.name).read_text())
            time.sleep(0.005)

    def stop(self) -> None:
        for item in self.api.get("/containers/json", {"all": True}):
            self.api.delete(f"/containers/{item['Id']}", {"force": True, "v": True})
        self.process.terminate()
        self.process.wait(30)
        subprocess.run(
            ["ip", "link", "del", f"{self.roots.tag}0"], check=False, capture_output=True
        )
        self.log.close()

    def pids(self) -> list[int]:
        """Every process of ours: daemon, spawner, shims; not what runs in containers."""
        ours = os.readlink("/proc/self/ns/pid")
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                if self.process.pid not in (pid, *_ancestors(pid)):
                    continue
                if os.readlink(entry / "ns/pid") == ours:
                    found.append(pid)
        return found


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    while pid > 1:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(status[1])
        found.append(pid)
    return found


def pss_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def settled_kb(engine: Engine) -> int:
    """Return the memory of everything of ours once it no longer shrinks: shims settle after a start."""
    lowest, unchanged = sum(pss_kb(pid) for pid in engine.pids()), 0
    while unchanged < 5:
        time.sleep(0.2)
        now = sum(pss_kb(pid) for pid in engine.pids())
        unchanged = 0 if now < lowest * 0.99 else unchanged + 1
        lowest = min(lowest, now)
    return lowest


def image_archive() -> bytes:
    """Return a root file system with a static busybox as a tar archive."""
    buffer = io.BytesIO()
    busybox = shutil.which("busybox")
    if busybox is None:
        raise SystemExit("a static busybox is needed (Debian: busybox-static)")
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("proc", "dev", "sys", "etc"):  # as in any image, and in the floor's tree
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "true", "sleep", "cat", "yes", "head", "wc"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


def import_image(api: Api) -> None:
    query = {"fromSrc": "-", "repo": "bench", "tag": "latest"}
    api.call("POST", "/images/create", query, stream=iter([image_archive()])).read()


def one_life(api: Api, host: dict[str, Any], command: list[str]) -> float:
    start = time.perf_counter()
    body = {"Image": IMAGE, "Cmd": command, "HostConfig": host}
    identifier = api.post("/containers/create", None, body)["Id"]
    waiting = api.call("POST", f"/containers/{identifier}/wait", {"condition": "next-exit"})
    api.post(f"/containers/{identifier}/start")
    waiting.json()
    api.delete(f"/containers/{identifier}")
    return time.perf_counter() - start


def median(measure: Callable[[], float], count: int) -> float:
    return statistics.median(measure() for _ in range(count))


def paired(one: Callable[[], float], other: Callable[[], float], count: int) -> tuple[float, float]:
    """Measure in turn, so that a slow moment of the machine meets both."""
    pairs = [(one(), other()) for _ in range(count)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def start_running(api: Api, count: int) -> tuple[list[str], float]:
    start = time.perf_counter()

    def run(_: int) -> str:
        body = {"Image": IMAGE, "Cmd": ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"],
                "HostConfig": {"NetworkMode": "none"}}  # fmt: skip
        identifier = str(api.post("/containers/create", None, body)["Id"])
        api.post(f"/containers/{identifier}/start")
        return identifier

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        identifiers = list(pool.map(run, range(count)))
    return identifiers, time.perf_counter() - start


def stop_all(api: Api, identifiers: list[str], at_once: int = 8) -> tuple[float, float]:
    """Return how long all took, and the slowest one."""

    def stop(identifier: str) -> float:
        start = time.perf_counter()
        api.post(f"/containers/{identifier}/stop", {"t": 10})
        return time.perf_counter() - start

    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        slowest = max(pool.map(stop, identifiers))
    return time.perf_counter() - start, slowest


def remove_all(api: Api, identifiers: list[str]) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: api.delete(f"/containers/{i}", {"force": True}), identifiers))


def floors(tree: Path, count: int) -> float:
    """Return how long so many bare starts take, one after the other."""
    return sum(bare.floor(tree) for _ in range(count))


def execs_at_once(api: Api, identifier: str, count: int) -> float:
    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda _: exec_true(api, identifier), range(count)))
    return time.perf_counter() - start


def growth(api: Api, count: int) -> tuple[float, float]:
    """Create and start so many, one by one; return the medians of the first and the last tenth."""
    took: list[float] = []
    identifiers: list[str] = []
    for _ in range(count):
        start = time.perf_counter()
        body = {"Image": IMAGE, "Cmd": ["sleep", "3600"], "HostConfig": {"NetworkMode": "none"}}
        identifiers.append(str(api.post("/containers/create", None, body)["Id"]))
        api.post(f"/containers/{identifiers[-1]}/start")
        took.append(time.perf_counter() - start)
    remove_all(api, identifiers)
    tenth = count // 10
    return statistics.median(took[:tenth]), statistics.median(took[-tenth:])


def peer_lives(engine: "Engine", rounds: int) -> Iterator[tuple[str, float]]:
    """Yield (engine, seconds) of `run --rm --network none` by command line, ours and a peer's."""
    image = image_archive()
    ours = [sys.executable, "-m", "tiffin.cli.main", "--host", f"unix://{engine.socket}"]
    peers = [("tiffin", ours)]
    podman = shutil.which("podman")
    if podman is not None:
        command = [podman, "--cgroup-manager=cgroupfs", "--events-backend=none"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        made = subprocess.run(
            [*command, "import", "-", "localhost/bench:latest"], input=image, check=False, **quiet
        )
        if made.returncode == 0:
            peers.append(("podman", command))
    for name, command in peers:
        reference = IMAGE if name == "tiffin" else "localhost/bench:latest"
        # Without the right to raise limits, podman must be told not to.
        limits = ["--ulimit", "host"] if name == "podman" else []
        run = [*command, "run", "--rm", *limits, "--network", "none", reference, "true"]

        def once(run: list[str] = run) -> float:
            start = time.perf_counter()
            subprocess.run(run, check=True, capture_output=True)
            return time.perf_counter() - start

        with contextlib.suppress(subprocess.CalledProcessError):  # it cannot run here
            once()
            yield name, median(once, rounds)
    if podman is not None:
        subprocess.run([podman, "rmi", "-f", "localhost/bench:latest"], check=False, **quiet)


def exec_true(api: Api, identifier: str) -> float:
    start = time.perf_counter()
    body = {"Cmd": ["true"], "AttachStdout": True}
    execution = api.post(f"/containers/{identifier}/exec", None, body)["Id"]
    connection, _ = api.hijack(f"/exec/{execution}/start", body={"Detach": False})
    with connection:
        while connection.recv(4096):
            pass
    return time.perf_counter() - start


def log_rates(api: Api, lines: int) -> tuple[float, float, float]:
    """Return MB/s of the plain writer, of the same writer into the log, and of reading back."""
    script = f"yes {'x' * 99} | head -n {lines}"
    size = lines * 100 / 1e6
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        subprocess.run(f"busybox yes {'x' * 99} | busybox head -n {lines} > {place}/out", shell=True,
                       check=True)  # fmt: skip
        plain = size / (time.perf_counter() - start)
    body = {"Image": IMAGE, "Cmd": ["sh", "-c", script], "HostConfig": {"NetworkMode": "none"}}
    identifier = api.post("/containers/create", None, body)["Id"]
    waiting = api.call("POST", f"/containers/{identifier}/wait", {"condition": "next-exit"})
    start = time.perf_counter()
    api.post(f"/containers/{identifier}/start")
    waiting.json()
    written = size / (time.perf_counter() - start)
    start = time.perf_counter()
    response = api.call("GET", f"/containers/{identifier}/logs", {"stdout": True})
    read = sum(len(block) for block in response.blocks()) / 1e6 / (time.perf_counter() - start)
    api.delete(f"/containers/{identifier}")
    return plain, written, read


def attach_rate(api: Api, megabytes: int) -> tuple[float, float]:
    """Return MB/s through `cat` between two pipes, and through an attached container's `cat`."""
    block = b"x" * (1 << 16)
    count = megabytes * 16

    def drive(
        write: Callable[[bytes], None], end: Callable[[], None], read: Callable[[], int]
    ) -> float:
        start = time.perf_counter()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:

            def feed() -> None:
                for _ in range(count):
                    write(block)
                end()

            feeding = pool.submit(feed)
            total = 0
            while got := read():
                total += got
            feeding.result()
        return total / 1e6 / (time.perf_counter() - start)

    with subprocess.Popen(["busybox", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        out = cat.stdout.fileno()
        plain = drive(lambda b: os.write(cat.stdin.fileno(), b) and None, cat.stdin.close,
                      lambda: len(os.read(out, 1 << 18)))  # fmt: skip
    host = {"NetworkMode": "none", "LogConfig": {"Type": "none"}}
    body = {"Image": IMAGE, "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True,
            "AttachStdin": True, "HostConfig": host}  # fmt: skip
    identifier = api.post("/containers/create", None, body)["Id"]
    query = {"stream": True, "stdin": True, "stdout": True}
    connection, _ = api.hijack(f"/containers/{identifier}/attach", query)
    api.post(f"/containers/{identifier}/start")
    import socket

    with connection:
        attached = drive(connection.sendall, lambda: connection.shutdown(socket.SHUT_WR),
                         lambda: len(connection.recv(1 << 18)))  # fmt: skip
    api.delete(f"/containers/{identifier}", {"force": True})
    return plain, attached


def build_times(api: Api) -> tuple[float, float]:
    lines = [f"FROM {IMAGE}"] + [f"RUN echo {n} > /step{n}" for n in range(10)]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        data = "\n".join(lines).encode()
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    times: list[float] = []
    for _ in range(2):
        start = time.perf_counter()
        response = api.call(
            "POST", "/build", {"t": "built", "rm": "1"}, stream=iter([buffer.getvalue()])
        )
        messages = list(response.objects())
        if any("error" in message for message in messages):
            raise RuntimeError(messages[-1])
        times.append(time.perf_counter() - start)
    return times[0], times[1]


def command_time(engine: Engine, *arguments: str) -> float:
    """Return what a command of the client takes from its start to its end."""
    client = [sys.executable, "-m", "tiffin.cli.main"]
    environment = {**os.environ, "DOCKER_HOST": f"unix://{engine.socket}"}

    def measure() -> float:
        start = time.perf_counter()
        subprocess.run([*client, *arguments], env=environment, check=True, capture_output=True)
        return time.perf_counter() - start

    return median(measure, 11)


def listing_many(api: Api, count: int) -> float:
    """Make containers that never run, list them, and remove them."""
    body = {"Image": IMAGE, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    made = [api.post("/containers/create", None, body)["Id"] for _ in range(count)]
    try:
        return listing(api, count)
    finally:
        for identifier in made:
            api.delete(f"/containers/{identifier}")


def listing(api: Api, count: int) -> float:
    def measure() -> float:
        start = time.perf_counter()
        found = json.loads(api.call("GET", "/containers/json", {"all": True}).read())
        assert len(found) >= count
        return time.perf_counter() - start

    return median(measure, 20)


@contextlib.contextmanager
def floor_tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        bare.make_tree(tree)
        yield tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--thousand", action="store_true", help="1,000 containers, too")
    parser.add_argument("--lives", action="store_true", help="containers only: no logs, no builds")
    arguments = parser.parse_args()
    quick, thousand = arguments.quick, arguments.thousand
    rounds, many = (10, 20) if quick else (40, 100)
    base = Path(tempfile.mkdtemp(prefix="tiffin-bench-"))
    engine = Engine(base)
    rows: list[tuple[str, str, str]] = []
    try:
        api = engine.api
        import_image(api)
        with floor_tree() as tree:
            life = ["/bin/true"]
            none, bridge = {"NetworkMode": "none"}, {"PortBindings": {"80/tcp": [{}]}}
            one_life(api, none, life)
            api.post("/networks/create", None, {"Name": "bench-net"})
            named = {**bridge, "NetworkMode": "bench-net"}
            one_life(api, named, life)
            alone, ground = paired(
                lambda: one_life(api, none, life), lambda: bare.floor(tree), rounds
            )
            rows.append(
                ("floor: fork, unshare, overlay, pivot_root, exec", f"{ground * 1e3:.1f} ms", "")
            )
            rows.append(("create + start + wait + remove, no network", f"{alone * 1e3:.1f} ms",
                         f"{alone / ground:.1f} × floor (≤ 3)"))  # fmt: skip
            wired, ground = paired(
                lambda: one_life(api, named, life), lambda: bare.floor(tree), rounds
            )
            rows.append(("… with network, DNS and a published port", f"{wired * 1e3:.1f} ms",
                         f"{wired / ground:.1f} × floor (≤ 5)"))  # fmt: skip
            time.sleep(IDLE_AFTER_S)
            idle = settled_kb(engine)
            rows.append(("idle daemon + spawner, PSS", f"{idle / 1024:.1f} MB", "(≤ 45)"))
            identifiers, seconds = start_running(api, many)
            rows.append((f"{many} containers started, 8 at a time", f"{seconds:.2f} s",
                         "(≤ 1.0 per 100)"))  # fmt: skip
            busy = settled_kb(engine)
            rows.append(("each further running container, PSS of ours",
                         f"{(busy - idle) / 1024 / many:.2f} MB", "(≤ 2)"))  # fmt: skip
            rows.append((f"list of {many} containers", f"{listing(api, many) * 1e3:.1f} ms",
                         "(≤ 4 per 100)"))  # fmt: skip
            exec_true(api, identifiers[0])
            execution, ground = paired(
                lambda: exec_true(api, identifiers[0]), lambda: bare.floor(tree), rounds
            )
            rows.append(("exec of true", f"{execution * 1e3:.1f} ms",
                         f"{execution / ground:.1f} × floor (≤ 1.5)"))  # fmt: skip
            seconds = execs_at_once(api, identifiers[0], 100)
            rows.append(("100 execs of true at once", f"{seconds:.2f} s", ""))
            seconds, _ = stop_all(api, identifiers)
            rows.append((f"{many} containers stopped, 8 at a time", f"{seconds:.2f} s",
                         "(≤ 0.5 per 100)"))  # fmt: skip
            remove_all(api, identifiers)
            identifiers, seconds = start_running(api, 50)
            ground = floors(tree, 50)
            rows.append(("50 started, 8 at a time", f"{seconds:.2f} s",
                         f"{seconds / ground:.1f} × 50 floors (≤ 1.5)"))  # fmt: skip
            seconds, slowest = stop_all(api, identifiers, at_once=50)
            rows.append(("50 stopped at once", f"{seconds:.2f} s",
                         f"{seconds / slowest:.2f} × the slowest (≤ 1.1)"))  # fmt: skip
            remove_all(api, identifiers)
            if thousand:
                first, last = growth(api, 1000)
                rows.append(("1,000 made and running: the last 100", f"{last * 1e3:.0f} ms each",
                             f"{last / first:.2f} × the first 100 (≤ 1.2)"))  # fmt: skip
            for name, seconds in peer_lives(engine, rounds // 4):
                rows.append((f"run --rm of true by command line: {name}",
                             f"{seconds * 1e3:.0f} ms", ""))  # fmt: skip
        if arguments.lives:
            return
        plain, written, read = log_rates(api, 200_000 if quick else 1_000_000)
        rows.append(("first answer of a cold daemon", f"{engine.first_answer_s * 1e3:.0f} ms",
                     "(≤ 300)"))  # fmt: skip
        rows.append(("tiffin ps", f"{command_time(engine, 'ps') * 1e3:.0f} ms", "(≤ 60)"))
        rows.append((f"list of {many * 10} containers that do not run",
                     f"{listing_many(api, many * 10) * 1e3:.1f} ms", "(≤ 30 per 1000)"))  # fmt: skip
        rows.append(("log written (100-byte lines)", f"{written:.0f} MB/s",
                     f"{written / plain:.2f} × plain file (≥ 0.8)"))  # fmt: skip
        rows.append(("log read back", f"{read:.0f} MB/s", "(≥ 200)"))
        plain, attached = attach_rate(api, 64 if quick else 512)
        rows.append(("attach, in and out together", f"{attached:.0f} MB/s",
                     f"{attached / plain:.2f} × two pipes (≥ 0.7)"))  # fmt: skip
        cold, cached = build_times(api)
        rows.append(("ten-step build, cold", f"{cold:.2f} s", "(≤ 0.3)"))
        rows.append(("ten-step build, cached", f"{cached:.3f} s", "(≤ 0.03)"))
    finally:
        width = max((len(row[0]) for row in rows), default=0)
        for name, value, ratio in rows:
            print(f"{name:<{width}}  {value:>10}  {ratio}")
        with contextlib.suppress(Exception):
            engine.stop()
        if engine.process.poll() is None:
            engine.process.send_signal(signal.SIGKILL)
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
