"""Responses of the real daemon against the published contract of the API.

Statuses must be among those that the operation lists, bodies must fit their schemas.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from jsonschema import Draft7Validator
from tests.e2e.e2e_daemon import Daemon

CONTRACT = Path(__file__).parents[1] / "reference/engine-api/v1.50.yaml"
VERSION = "/v1.50"
NAMES = {"c": "contract-c", "n": "contract-n", "v": "contract-v", "i": "bb:latest"}


class Contract:
    """The operations, and their schemas as JSON Schema."""

    def __init__(self) -> None:
        text = CONTRACT.read_text()
        raw = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.paths: dict[str, Any] = raw["paths"]
        resources = raw["definitions"]["Resources"]["properties"]
        resources["MemorySwappiness"]["x-nullable"] = True  # a pointer in Docker's own type
        self._definitions = {k: _json_schema(v) for k, v in raw["definitions"].items()}

    def check(self, method: str, path: str, status: int, body: object) -> None:
        """Assert that the operation may answer so."""
        responses = self.paths[path][method.lower()]["responses"]
        assert status in responses, (status, body)
        schema = responses[status].get("schema")
        if schema is None:
            return
        whole = {**_json_schema(schema), "definitions": self._definitions}
        wrong = [f"{error.json_path}: {error.message}"[:300]
                 for error in Draft7Validator(whole).iter_errors(body)]  # fmt: skip
        assert not wrong, "\n".join(wrong)


def _json_schema(schema: Any) -> Any:  # noqa: ANN401  # JSON is untyped
    """Turn Swagger 2.0's dialect into JSON Schema.

    It has `x-nullable`, which the contract leaves out where Go writes an empty list or map as null.
    """
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _json_schema(value) for key, value in schema.items()
             if key not in ("example", "format", "default", "description")
             or (isinstance(value, dict) and ("type" in value or "$ref" in value))}  # fmt: skip
    if isinstance(plain.get("required"), list):  # it names a member that no property describes
        properties = plain.get("properties", plain["required"])
        plain["required"] = [name for name in plain["required"] if name in properties]
    if schema.get("x-nullable") is True or schema.get("type") in ("array", "object"):
        if isinstance(plain.get("type"), str) and "enum" not in plain:
            return {**plain, "type": [plain["type"], "null"]}  # tells what is wrong within
        return {"anyOf": [plain, {"type": "null"}]}
    return plain


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract()


@pytest.fixture(scope="module")
def world(daemon: Daemon, busybox: str) -> dict[str, str]:
    """One of each: a container with everything, a network, a volume, an exec; their names."""
    made = dict(NAMES)
    assert busybox == made["i"]
    daemon.docker("network", "create", "--label", "a=b", made["n"])
    daemon.docker("volume", "create", "--label", "a=b", made["v"])
    daemon.docker(
        "run", "-d", "--init", "--name", made["c"], "--network", made["n"], "--publish", "80",
        "--volume", f"{made['v']}:/data", "--tmpfs", "/scratch", "--memory", "64m",
        "--health-cmd", "true", "--health-interval", "1s", "--env", "A=b", "--label", "a=b",
        "--ulimit", "nofile=64", "--restart", "on-failure:2", "--log-opt", "max-size=1m",
        busybox, "sleep", "600",
    )  # fmt: skip
    status, answer = daemon.api("POST", f"/containers/{made['c']}/exec", {"Cmd": ["true"]})
    assert status == 201
    made["e"] = answer["Id"]
    assert daemon.api("POST", f"/exec/{made['e']}/start", {"Detach": True})[0] == 200
    daemon.wait_until(
        lambda: daemon.api("GET", f"/exec/{made['e']}/json")[1]["ExitCode"] == 0, "the exec ends"
    )
    return made


CREATE: dict[str, Any] = {
    "Image": "bb:latest",
    "Cmd": ["true"],
    "Labels": {"contract": "made"},
    "HostConfig": {"NetworkMode": "none"},
}

SERVED: list[tuple[str, str, str, object, int]] = [
    ("GET", "/_ping", "/_ping", None, 200),
    ("GET", "/version", "/version", None, 200),
    ("GET", "/info", "/info", None, 200),
    ("GET", "/system/df", "/system/df", None, 200),
    ("GET", "/containers/json", "/containers/json?all=1&size=1", None, 200),
    ("GET", "/containers/{id}/json", "/containers/{c}/json?size=1", None, 200),
    ("GET", "/containers/{id}/top", "/containers/{c}/top", None, 200),
    ("GET", "/containers/{id}/changes", "/containers/{c}/changes", None, 200),
    ("GET", "/containers/{id}/stats", "/containers/{c}/stats?stream=0", None, 200),
    ("GET", "/containers/{id}/stats", "/containers/{c}/stats?stream=0&one-shot=1", None, 200),
    ("POST", "/containers/create", "/containers/create", CREATE, 201),
    ("POST", "/containers/{id}/update", "/containers/{c}/update", {"Memory": 1 << 27}, 200),
    ("POST", "/containers/{id}/exec", "/containers/{c}/exec", {"Cmd": ["true"]}, 201),
    ("GET", "/exec/{id}/json", "/exec/{e}/json", None, 200),
    ("POST", "/containers/prune", "/containers/prune?filters={labelled}", None, 200),
    ("POST", "/commit", "/commit?container={c}&repo=contract&tag=made", {}, 201),
    ("GET", "/images/json", "/images/json?digests=1&shared-size=1", None, 200),
    ("GET", "/images/json", "/images/json?manifests=1", None, 200),
    ("GET", "/images/{name}/json", "/images/{i}/json", None, 200),
    ("GET", "/images/{name}/json", "/images/{i}/json?manifests=1", None, 200),
    ("GET", "/images/{name}/history", "/images/{i}/history", None, 200),
    ("POST", "/images/{name}/tag", "/images/{i}/tag?repo=contract&tag=other", None, 201),
    ("DELETE", "/images/{name}", "/images/contract:other", None, 200),
    ("DELETE", "/images/{name}", "/images/contract:made", None, 200),
    ("POST", "/images/prune", "/images/prune", None, 200),
    ("POST", "/build/prune", "/build/prune", None, 200),
    ("GET", "/networks", "/networks", None, 200),
    ("GET", "/networks/{id}", "/networks/{n}", None, 200),
    ("POST", "/networks/create", "/networks/create", {"Name": "contract-made"}, 201),
    ("DELETE", "/networks/{id}", "/networks/contract-made", None, 204),
    ("POST", "/networks/prune", "/networks/prune", None, 200),
    ("GET", "/volumes", "/volumes", None, 200),
    ("GET", "/volumes/{name}", "/volumes/{v}", None, 200),
    ("POST", "/volumes/create", "/volumes/create", {"Name": "contract-made"}, 201),
    ("DELETE", "/volumes/{name}", "/volumes/contract-made", None, 204),
    ("POST", "/volumes/prune", "/volumes/prune", None, 200),
]

REFUSED: list[tuple[str, str, str, object, int]] = [
    ("GET", "/containers/{id}/json", "/containers/nobody/json", None, 404),
    ("POST", "/containers/create", "/containers/create", {"Image": "nothing:here"}, 404),
    ("POST", "/containers/create", "/containers/create?name={c}", CREATE, 409),
    ("POST", "/containers/create", "/containers/create?name=%21", CREATE, 400),
    ("POST", "/containers/create", "/containers/create", {"Image": 5}, 400),
    ("POST", "/containers/create", "/containers/create", ["no object"], 400),
    ("POST", "/containers/{id}/start", "/containers/nobody/start", None, 404),
    ("POST", "/containers/{id}/start", "/containers/{c}/start", None, 304),
    ("POST", "/containers/{id}/stop", "/containers/nobody/stop", None, 404),
    ("POST", "/containers/{id}/wait", "/containers/{c}/wait?condition=odd", None, 400),
    ("DELETE", "/containers/{id}", "/containers/{c}", None, 409),
    ("DELETE", "/containers/{id}", "/containers/nobody", None, 404),
    ("GET", "/containers/{id}/archive", "/containers/{c}/archive?path=/none", None, 404),
    ("GET", "/containers/{id}/archive", "/containers/{c}/archive", None, 400),
    ("POST", "/containers/{id}/exec", "/containers/nobody/exec", {"Cmd": ["true"]}, 404),
    ("GET", "/exec/{id}/json", "/exec/none/json", None, 404),
    ("POST", "/exec/{id}/start", "/exec/none/start", {"Detach": True}, 404),
    ("GET", "/images/{name}/json", "/images/none/json", None, 404),
    ("DELETE", "/images/{name}", "/images/none", None, 404),
    ("DELETE", "/images/{name}", "/images/{i}", None, 409),
    ("POST", "/images/{name}/tag", "/images/{i}/tag?repo=UPPER", None, 400),
    ("POST", "/images/{name}/tag", "/images/none/tag?repo=some", None, 404),
    ("GET", "/networks/{id}", "/networks/nothing", None, 404),
    ("DELETE", "/networks/{id}", "/networks/bridge", None, 403),
    ("DELETE", "/networks/{id}", "/networks/none-such", None, 404),
    ("POST", "/networks/{id}/connect", "/networks/none-such/connect", {"Container": "{c}"}, 404),
    ("GET", "/volumes/{name}", "/volumes/none", None, 404),
    ("DELETE", "/volumes/{name}", "/volumes/{v}", None, 409),
    ("GET", "/events", "/events?since=odd", None, 400),
]


def _concrete(path: str, world: dict[str, str]) -> str:
    labelled = quote(json.dumps({"label": ["contract=made"]}))
    return path.format(**world, labelled=labelled)


@pytest.mark.parametrize(("method", "operation", "path", "body", "status"), SERVED)
def test_what_is_served_fits_the_contract(
    daemon: Daemon, contract: Contract, world: dict[str, str],
    method: str, operation: str, path: str, body: object, status: int,
) -> None:  # fmt: skip
    got, answer = daemon.api(method, VERSION + _concrete(path, world), body)
    assert got == status, answer
    contract.check(method, operation, got, answer)


@pytest.mark.parametrize(("method", "operation", "path", "body", "status"), REFUSED)
def test_refusals_bear_a_message(
    daemon: Daemon, contract: Contract, world: dict[str, str],
    method: str, operation: str, path: str, body: object, status: int,
) -> None:  # fmt: skip
    got, answer = daemon.api(method, VERSION + _concrete(path, world), body)
    assert got == status, answer
    if status == 304:
        assert answer == ""
    else:
        assert set(answer) == {"message"}
        assert answer["message"]
    if status in contract.paths[operation][method.lower()]["responses"]:
        contract.check(method, operation, got, answer)
