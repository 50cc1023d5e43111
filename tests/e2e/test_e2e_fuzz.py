"""Bad input: the operations of the contract with random parameters and bodies, from a fixed seed.

Nothing may answer with an unexpected error, leave a traceback in the log, or stay behind: no mount,
process, link, rule or cgroup (which the end of the module looks for), no descriptor, no memory.

`scripts/fuzz 10000` makes as many requests as it is told, from another seed each time.
"""

import http.client
import json
import os
import random
import string
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import yaml
from tests.e2e.e2e_daemon import Daemon, UnixConnection

CONTRACT = Path(__file__).parents[1] / "reference/engine-api/v1.50.yaml"
REQUESTS = int(os.environ.get("TIFFIN_FUZZ_REQUESTS", "0"))
"""How many; 0 for the short slice that every run has."""
SEED = int(os.environ.get("TIFFIN_FUZZ_SEED", "20"))
TIME_S = 15.0
WARM_UP = 300
"""Requests until all modules are loaded and caches are filled."""
GROWTH_BYTES = 24 << 20
ANSWER_S = 10.0
SKIPPED = {
    "/auth", "/session", "/images/search", "/distribution/{name}/json", "/images/{name}/push",
    "/containers/{id}/wait", "/events",
}  # fmt: skip
"""They ask a registry, or rightly answer only when something happens."""
EXISTING = {
    "containers": ("fuzz-up", "fuzz-made"), "networks": ("fuzz-net",), "volumes": ("fuzz-vol",),
    "images": ("bb:latest",),
}  # fmt: skip
SWARM = ("/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/plugins")
HOSTILE = (
    "", " ", "\0", "\n", "/", "..", "../../etc/passwd", "-1", "0", "1", "true", "null", "[]", "{}",
    '{"a"', '{"label":["a=b"]}', '{"dangling":{"true":true}}', '{"id":5}', "%", "é😀", "\ud7ff",
    "a" * 5000, "9" * 30, "1e400", "-0.5", "2026-01-01", "sha256:" + "0" * 64, "x:y:z", "a b",
    "container:nobody", "host", "none", "bridge", "unconfined", "0-3", "80/tcp", "1.2.3.4/33", "::1",
)  # fmt: skip
NUMBERS = (-1, 0, 1, 2, 80, 4096, 65536, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 10**25, 1.5)


class Generator:
    """Random requests for the operations of the contract."""

    def __init__(self, seed: int, ids: list[str]) -> None:
        self._random = random.Random(seed)
        self._ids = ids
        text = CONTRACT.read_text()
        raw = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self._definitions = raw["definitions"]
        self._operations = [
            (method.upper(), path, operation.get("parameters", []))
            for path, methods in raw["paths"].items()
            for method, operation in methods.items()
            if path not in SKIPPED and not path.startswith(SWARM)
        ]
        self._create = raw["paths"]["/containers/create"]["post"]["parameters"][-1]["schema"]

    def request(self) -> tuple[str, str, bytes | None]:
        """Return method, path with query, and body."""
        method, path, parameters = self._random.choice(self._operations)
        query, data = [], None
        for parameter in parameters:
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                path = path.replace(f"{{{name}}}", quote(self._name(path), safe=""))
            elif place == "query" and name not in ("remote", "fromImage", "follow", "stream"):
                if self._random.random() < 0.4:
                    query.append((name, self._text()))
            elif place == "body":
                data = self._body(parameter.get("schema", {}))
        if "stats" in path:
            query.append(("stream", "0"))
        encoded = urlencode(query, errors="surrogatepass")
        return method, f"/v1.50{path}" + (f"?{encoded}" if query else ""), data

    def container(self) -> bytes:
        """Return the body of a container that is right but for one or two members."""
        body: dict[str, Any] = {"Image": "bb:latest", "Cmd": ["true"], "HostConfig": {}}
        parts = [self._definitions["HostConfig"], *self._create["allOf"]]
        for _ in range(self._random.randrange(1, 3)):
            part = self._resolved(self._random.choice(parts))
            name, member = self._random.choice(list(_properties(part, self._resolved).items()))
            into = body if part is not self._definitions["HostConfig"] else body["HostConfig"]
            if name not in ("Image", "Privileged", "HostConfig", "NetworkingConfig"):
                into[name] = self._value(member, 1)
        return json.dumps(body).encode()

    def _name(self, path: str) -> str:
        """Return what `path` is about: for the most part something that is there."""
        fitting = EXISTING.get(path.split("/")[1], ())
        return self._random.choice(
            fitting if fitting and self._random.random() < 0.7 else self._ids
        )

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        reference = schema.get("$ref")
        return self._definitions[reference.rpartition("/")[2]] if reference else schema

    def _text(self) -> str:
        pick = self._random.random()
        if pick < 0.7:
            return self._random.choice(HOSTILE)
        if pick < 0.85:
            return self._random.choice(self._ids)
        size = self._random.randrange(1, 12)
        return "".join(self._random.choice(string.printable) for _ in range(size))

    def _body(self, schema: dict[str, Any]) -> bytes:
        text = json.dumps(self._value(schema, 0))
        if self._random.random() < 0.05:
            text = text[: self._random.randrange(len(text) + 1)]
        return text.encode()

    def _value(self, schema: dict[str, Any], depth: int) -> Any:  # noqa: ANN401  # JSON is untyped
        if self._random.random() < 0.04:
            return self._random.choice([None, True, [], {}, [[]], {"": {}}, *NUMBERS, *HOSTILE])
        schema = self._resolved(schema)
        made: dict[str, Callable[[], Any]] = {
            "array": lambda: [
                self._value(schema.get("items", {}), depth + 1)
                for _ in range(self._random.randrange(3))
            ],
            "string": lambda: self._random.choice(schema.get("enum") or [self._text()]),
            "integer": lambda: self._random.choice(NUMBERS),
            "number": lambda: self._random.choice(NUMBERS),
            "boolean": lambda: self._random.random() < 0.5,
        }
        maker = made.get(schema.get("type", ""))
        return maker() if maker else self._object(schema, depth)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = dict(schema.get("properties", {}))
        out: dict[str, Any] = {}
        for part in schema.get("allOf", ()):
            inherited = self._value(part, depth)
            out.update(inherited if isinstance(inherited, dict) else {})
        for name, member in properties.items():
            if self._random.random() < (0.1 if depth else 0.3):
                out[name] = self._value(member, depth + 1)
        if isinstance(extra := schema.get("additionalProperties"), dict):
            out[self._text()] = self._value(extra, depth + 1)
        if "Image" in properties and self._random.random() < 0.9:
            out["Image"] = "bb:latest"
        return out


def _properties(
    schema: dict[str, Any], resolved: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return the members of an object, with those that it inherits."""
    out = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        out.update(_properties(resolved(part), resolved))
    return out


def answer(daemon: Daemon, method: str, path: str, data: bytes | None) -> tuple[int, bytes]:
    """Make one request; status 0 for what goes on answering (a hijacked connection)."""
    connection = UnixConnection(daemon.socket)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_S)
        headers = {"Content-Type": "application/json"} if data else {}
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        if "stream" in (response.getheader("Content-Type") or "") or response.status == 101:
            return 0, b""
        return response.status, response.read()
    finally:
        connection.close()


def create_and_start(daemon: Daemon, data: bytes, bad: list[str]) -> None:
    """Make and start one odd container; a start may fail (500), but only with a reason."""
    status, body = answer(daemon, "POST", "/containers/create", data)
    if status >= 500:
        bad.append(f"create {data!r}\n    → {status} {body!r}")
    if status != 201:
        return
    path = f"/containers/{json.loads(body)['Id']}"
    status, body = answer(daemon, "POST", f"{path}/start", None)
    if status == 500 and b"internal error" in body:
        bad.append(f"start {data!r}\n    → {status} {body!r}")
    status, body = answer(daemon, "DELETE", f"{path}?force=1&v=1", None)
    if status not in (204, 404, 409):
        bad.append(f"remove {data!r}\n    → {status} {body!r}")


@pytest.fixture(scope="module")
def ids(daemon: Daemon, busybox: str) -> list[str]:
    """Names of things that exist, that do not, and that cannot."""
    _make(daemon)
    status, created = daemon.api("POST", "/containers/fuzz-up/exec", {"Cmd": ["true"]})
    assert status == 201
    return ["fuzz-up", "fuzz-made", "fuzz-net", "fuzz-vol", "nobody", created["Id"], busybox,
           "f" * 64, "a/b", "..", "é", "%00", "x" * 300]  # fmt: skip


@pytest.mark.timeout(max(120, REQUESTS // 5))
def test_nothing_that_is_sent_upsets_the_daemon(daemon: Daemon, ids: list[str]) -> None:
    generator = Generator(SEED, ids)
    deadline = time.monotonic() + TIME_S
    count = 0
    bad: list[str] = []
    statuses: Counter[int] = Counter()
    before = _held(daemon)
    while count < REQUESTS if REQUESTS else time.monotonic() < deadline and count < 1500:
        method, path, data = generator.request()
        count += 1
        if count == WARM_UP:
            before = _held(daemon)
        if count % 200 == 0:
            _tidy(daemon)
        if "/images/bb:latest" in path.replace("%3A", ":") and method == "DELETE":
            continue  # what the containers are made of
        try:
            status, body = answer(daemon, method, path, data)
        except (TimeoutError, http.client.HTTPException, ConnectionError) as error:
            status, body = 599, repr(error).encode()
        statuses[status] += 1
        if status in (500, 599):
            bad.append(f"{method} {path} {(data or b'')[:600]!r}\n    → {status} {body[:300]!r}")
        if "stats" not in path and count % 10 == 0:
            create_and_start(daemon, generator.container(), bad)
    assert not bad, f"{len(bad)} of {count}:\n" + "\n".join(bad)
    assert "Traceback" not in daemon.log, daemon.log[daemon.log.index("Traceback") - 500 :][:3000]
    assert count > 200
    _tidy(daemon)
    # Clients that have hung up are noticed in a moment.
    daemon.wait_until(lambda: _held(daemon)[0] <= before[0] + 8, "no descriptor is left", 10)
    after = _held(daemon)
    print(  # noqa: T201  # for who runs scripts/fuzz
        f"{count} requests, seed {SEED}: {dict(statuses)}; (descriptors, memory) {before} {after}"
    )
    assert after[1] - before[1] < GROWTH_BYTES, (before, after)


def _held(daemon: Daemon) -> tuple[int, int]:
    """Return how many descriptors and bytes of memory the daemon has."""
    process = Path("/proc") / str(daemon.pid)
    resident = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(list((process / "fd").iterdir())), resident


def _tidy(daemon: Daemon) -> None:
    """Remove what requests have made, and give back what they have taken away."""
    keep = ("fuzz-up", "fuzz-made")
    for line in daemon.docker("ps", "-a", "--format", "{{.ID}} {{.Names}}").stdout.splitlines():
        identifier, _, name = line.partition(" ")
        if name not in keep:
            daemon.docker("rm", "-f", "-v", identifier, check=False)
    _make(daemon)


def _make(daemon: Daemon) -> None:
    """Make the things that requests speak of, unless they are there."""
    daemon.docker("unpause", "fuzz-up", check=False)
    for command in (
        ("run", "-d", "--stop-timeout", "0", "--name", "fuzz-up", "bb:latest", "sleep", "6000"),
        ("start", "fuzz-up"),
        ("create", "--name", "fuzz-made", "bb:latest", "true"),
        ("network", "create", "fuzz-net"),
        ("volume", "create", "fuzz-vol"),
    ):
        daemon.docker(*command, check=False)
