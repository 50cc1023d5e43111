"""Every operation of containers and execs, with every status that the contract names for it.

The steps are a story: each builds on those before it. What remains is told apart at the end.
"""

import contextlib
import io
import json
import tarfile
from typing import Any

import pytest
from tests.e2e.e2e_daemon import Daemon, UnixConnection
from tests.e2e.test_e2e_contract import Contract, contract

__all__ = ["contract"]  # the fixture

VERSION = "/v1.50"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}
WEBSOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
ONE = "/containers/{id}"
SLEEP: dict[str, Any] = {
    "Image": "bb:latest", "Cmd": ["sleep", "600"], "Tty": True, "StopSignal": "KILL",
    "HostConfig": {"NetworkMode": "none"},
}  # fmt: skip
READ_ONLY = {**SLEEP, "HostConfig": {"NetworkMode": "none", "ReadonlyRootfs": True}}
LOGS = "?logs=1&stdout=1"
TAR = io.BytesIO()
with tarfile.open(fileobj=TAR, mode="w") as _archive:
    _archive.addfile(tarfile.TarInfo("empty"))

Step = tuple[str, str, str, object, int]

# {id} in a path is the container; an operation is given where it is not the path itself.
STORY: list[Step] = [
    ("GET", "/containers/json", "?filters=%7B%22status%22%3A%5B%22odd%22%5D%7D", None, 400),
    ("GET", "/containers/json", "?all=1&size=1", None, 200),
    ("POST", "/containers/create", "?name=%21", SLEEP, 400),
    ("POST", "/containers/create", "", {"Image": "nobody:here"}, 404),
    ("POST", "/containers/create", "?name=story-ro", READ_ONLY, 201),
    ("POST", "/containers/create", "?name=story", SLEEP, 201),
    ("POST", "/containers/create", "?name=story", SLEEP, 409),
    ("POST", ONE + "/exec", "", {"Cmd": ["true"]}, 409),
    ("POST", ONE + "/kill", "", None, 409),
    ("POST", ONE + "/start", "", None, 204),
    ("POST", ONE + "/start", "", None, 304),
    ("GET", ONE + "/json", "?size=1", None, 200),
    ("GET", ONE + "/top", "?ps_args=-ef", None, 200),
    ("GET", ONE + "/logs", "?stdout=1", None, 200),
    ("GET", ONE + "/changes", "", None, 200),
    ("GET", ONE + "/export", "", None, 200),
    ("GET", ONE + "/stats", "?stream=0&one-shot=1", None, 200),
    ("POST", ONE + "/resize", "?h=10&w=20", None, 200),
    ("POST", ONE + "/update", "", {"Memory": 1 << 26, "MemorySwap": 1 << 27}, 200),
    ("POST", ONE + "/attach", LOGS, None, 200),
    ("POST", ONE + "/attach", LOGS, UPGRADE, 101),
    ("POST", ONE + "/attach", LOGS + "&detachKeys=odd-keys", None, 400),
    ("GET", ONE + "/attach/ws", LOGS, WEBSOCKET, 101),
    ("GET", ONE + "/attach/ws", LOGS, None, 400),
    ("HEAD", ONE + "/archive", "?path=/etc", None, 200),
    ("HEAD", ONE + "/archive", "", None, 400),
    ("HEAD", ONE + "/archive", "?path=/none", None, 404),
    ("GET", ONE + "/archive", "?path=/etc", None, 200),
    ("GET", ONE + "/archive", "", None, 400),
    ("GET", ONE + "/archive", "?path=/none", None, 404),
    ("PUT", ONE + "/archive", "?path=/tmp", TAR.getvalue(), 200),
    ("PUT", ONE + "/archive", "", TAR.getvalue(), 400),
    ("PUT", ONE + "/archive", "?path=/none", TAR.getvalue(), 404),
    ("PUT", "/containers/story-ro/archive", "?path=/tmp", TAR.getvalue(), 403),
    ("POST", ONE + "/exec", "", {"Cmd": ["sleep", "600"], "Tty": True}, 201),
    ("POST", ONE + "/pause", "", None, 204),
    ("POST", "/exec/{id}/start", "", {"Detach": True}, 409),
    ("POST", ONE + "/exec", "", {"Cmd": ["true"]}, 409),
    ("DELETE", ONE, "", None, 409),
    ("POST", ONE + "/unpause", "", None, 204),
    ("POST", "/exec/{id}/start", "", {"Detach": True, "Tty": True}, 200),
    ("POST", "/exec/{id}/resize", "?h=10&w=20", None, 200),
    ("POST", "/exec/{id}/resize", "?h=x&w=20", None, 400),
    ("POST", ONE + "/rename", "?name=story-ro", None, 409),
    ("POST", ONE + "/rename", "?name=renamed", None, 204),
    ("POST", "/containers/renamed/rename", "?name=story", None, 204),
    ("POST", ONE + "/restart", "?t=1", None, 204),
    ("GET", "/exec/{id}/json", "", None, 200),
    ("POST", ONE + "/kill", "?signal=KILL", None, 204),
    ("POST", ONE + "/wait", "?condition=odd", None, 400),
    ("POST", ONE + "/wait", "?condition=not-running", None, 200),
    ("POST", ONE + "/stop", "", None, 304),
    ("POST", ONE + "/start", "", None, 204),
    ("POST", ONE + "/stop", "?t=1", None, 204),
    ("POST", "/commit", "?container=story&repo=story&tag=made", {}, 201),
    ("POST", "/commit", "?container=nobody", {}, 404),
    ("DELETE", ONE, "", None, 204),
    ("DELETE", "/containers/story-ro", "", None, 204),
    ("POST", "/containers/prune", "?filters=%7B%22label%22%3A%5B%22no%22%5D%7D", None, 200),
    ("GET", "/events", "?since=0&until=1", None, 200),
    ("GET", "/events", "?since=odd", None, 400),
]
NEVER = {
    ("POST", ONE + "/start", 400): "only for checkpoints",
    ("GET", ONE + "/attach/ws", 200): "a websocket begins with 101",
    ("DELETE", ONE, 400): "a removal that is under way is a conflict",
}


def _request(daemon: Daemon, method: str, path: str, sent: object) -> tuple[int, bytes, str]:
    """Make one request; `sent` is a JSON body, bytes of a tar, or headers of an upgrade."""
    headers: dict[str, str] = {}
    data: bytes | None = None
    if sent in (UPGRADE, WEBSOCKET):
        headers = dict(sent)
    elif isinstance(sent, bytes):
        data, headers = sent, {"Content-Type": "application/x-tar"}
    elif sent is not None:
        data, headers = json.dumps(sent).encode(), {"Content-Type": "application/json"}
    connection = UnixConnection(daemon.socket)
    with contextlib.closing(connection):
        connection.request(method, VERSION + path, data, headers)
        response = connection.getresponse()
        if response.status == 101:
            return 101, b"", ""
        return response.status, response.read(), response.headers.get("Content-Type", "")


def _check(contract: Contract, method: str, operation: str, answer: tuple[int, bytes, str]) -> Any:  # noqa: ANN401  # JSON is untyped
    status, data, kind = answer
    if operation == "/events" or not data or not kind.startswith("application/json"):
        assert status in contract.paths[operation][method.lower()]["responses"]
        return None
    body = json.loads(data)
    contract.check(method, operation, status, body)
    return body


@pytest.mark.usefixtures("busybox")
def test_every_documented_status(daemon: Daemon, contract: Contract) -> None:
    seen: set[tuple[str, str, int]] = set()
    execution = ""
    for method, where, query, sent, status in STORY:
        name = "story-ro" if "story-ro" in where else "renamed" if "renamed" in where else "story"
        operation = where.replace(f"/containers/{name}", ONE)
        path = where.replace("{id}", execution if where.startswith("/exec") else name) + query
        answer = _request(daemon, method, path, sent)
        assert answer[0] == status, (method, path, answer)
        body = _check(contract, method, operation, answer)
        if operation == ONE + "/exec" and status == 201:
            execution = body["Id"]
        seen.add((method, operation, status))
    seen |= _ask_for_nobody(daemon, contract)
    documented = {
        (method.upper(), operation, status)
        for operation, methods in contract.paths.items()
        if operation.startswith(("/containers", "/exec"))
        for method, description in methods.items()
        for status in description["responses"]
        if status != 500
    }
    assert documented - seen == set(NEVER)


def _ask_for_nobody(daemon: Daemon, contract: Contract) -> set[tuple[str, str, int]]:
    """Ask each operation about a container or exec that does not exist."""
    seen = set()
    for operation, methods in contract.paths.items():
        if not operation.startswith((ONE, "/exec/")):
            continue
        for method, description in methods.items():
            if 404 not in description["responses"]:
                continue
            sent: object = {} if method == "post" else b"" if method == "put" else None
            if operation == ONE + "/exec":
                sent = {"Cmd": ["true"]}
            sent = WEBSOCKET if operation.endswith("/ws") else sent
            query = "?path=/&h=1&w=1&name=some&stdout=1"
            path = operation.replace("{id}", "nobody") + query
            answer = _request(daemon, method.upper(), path, sent)
            assert answer[0] == 404, (method, operation, answer)
            _check(contract, method, operation, answer)
            seen.add((method.upper(), operation, 404))
    return seen
