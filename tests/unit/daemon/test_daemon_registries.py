"""`registries` and `default-registry` of daemon.json, and the endpoints that they lead to."""

import json
from pathlib import Path
from typing import Any

import pytest

from tiffin.daemon.config import load
from tiffin.daemon.wiring import registry_options
from tiffin.errors import InvalidArgument
from tiffin.registry.endpoints import endpoints


async def urls(tmp_path: Path, domain: str, **values: Any) -> list[str]:  # noqa: ANN401  # JSON
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({key.replace("_", "-"): value for key, value in values.items()}))
    options = registry_options(load({"config-file": str(path)}))
    return [f"{each.url}/{each.prefix}" for each in await endpoints(domain, options)]


async def test_pull_through_order(tmp_path: Path) -> None:
    rules: dict[str, Any] = {"mirrors": ["https://192.0.2.7/hub/x", "http://192.0.2.8"]}
    mirrors = ["https://192.0.2.7/hub/x", "http://192.0.2.8/"]
    own = ["https://192.0.2.1/"]
    for order, expected in (
        ({}, [*mirrors, *own]),
        ({"order": "mirrors-first"}, [*mirrors, *own]),
        ({"order": "registry-first"}, [*own, *mirrors]),
        ({"order": "mirrors-only"}, mirrors),
    ):
        found = await urls(tmp_path, "192.0.2.1", registries={"192.0.2.1": rules | order})
        assert found == expected
    assert await urls(tmp_path, "192.0.2.2", registries={"192.0.2.1": rules}) == [
        "https://192.0.2.2/"
    ]


async def test_default_registry_and_insecure_ones(tmp_path: Path) -> None:
    hub = ["https://192.0.2.1:5000/"]
    assert await urls(tmp_path, "docker.io", default_registry="192.0.2.1:5000") == hub
    assert await urls(tmp_path, "docker.io", default_registry="http://192.0.2.1:5000/") == [
        "http://192.0.2.1:5000/"
    ]
    both = [*hub, "http://192.0.2.1:5000/"]
    insecure = {"192.0.2.1:5000": {"insecure": True}}
    assert await urls(tmp_path, "192.0.2.1:5000", registries=insecure) == both
    found = await urls(
        tmp_path, "docker.io", default_registry="192.0.2.1:5000", registries=insecure,
        registry_mirrors=["https://192.0.2.9"],
    )  # fmt: skip
    assert found == ["https://192.0.2.9/", *both]


@pytest.mark.parametrize(
    "values",
    [
        {"default-registry": "a b"},
        {"default-registry": "https://h/path/x"},
        {"registries": {"a b": {}}},
        {"registries": {"a": []}},
        {"registries": {"a": {"mirror": []}}},
        {"registries": {"a": {"mirrors": "https://x"}}},
        {"registries": {"a": {"mirrors": ["ftp://x"]}}},
        {"registries": {"a": {"mirrors": ["https://u:p@x"]}}},
        {"registries": {"a": {"insecure": "yes"}}},
        {"registries": {"a": {"order": "random"}}},
        {"registries": {"a": {"order": "mirrors-only"}}},
    ],
)
def test_what_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps(values))
    with pytest.raises(InvalidArgument, match="registr"):
        load({"config-file": str(path)})
