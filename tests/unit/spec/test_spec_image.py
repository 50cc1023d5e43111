"""Image documents: what is read is written again, and bad input is refused by name."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tiffin.errors import InvalidArgument
from tiffin.spec.descriptor import DOCKER_MANIFEST, OCI_LAYER, Descriptor
from tiffin.spec.digest import Digest
from tiffin.spec.image import (
    ContainerConfig,
    Healthcheck,
    History,
    ImageConfig,
    Index,
    Manifest,
    RootFS,
    parse_config,
    parse_index,
    parse_manifest,
)
from tiffin.spec.platform import Platform

SCHEMAS = Path(__file__).parents[2] / "reference" / "oci-image"
DIGEST = Digest("sha256:" + "b" * 64)
LAYER = Descriptor(OCI_LAYER, DIGEST, 10)
CONFIG = ImageConfig(
    architecture="amd64",
    created="2024-01-02T03:04:05.678Z",
    author="me",
    variant="v2",
    config=ContainerConfig(
        user="1:2",
        exposed_ports=("53/udp", "80/tcp"),
        env=("A=1", "B=ü"),
        entrypoint=("/x",),
        cmd=(),
        volumes=("/data",),
        working_dir="/w",
        labels={"k": "v"},
        stop_signal="SIGINT",
        healthcheck=Healthcheck(("CMD", "true"), 1, 2, 3, 4, 5),
        shell=("/bin/sh", "-c"),
        on_build=("RUN x",),
        args_escaped=True,
        extra={"StopTimeout": 3},
    ),
    rootfs=RootFS((DIGEST,)),
    history=(History("2024-01-02T03:04:05Z", "ADD x", "me", "why"), History(empty_layer=True)),
    extra={"docker_version": "1", "container": "abc"},
)
MANIFEST = Manifest(LAYER, (LAYER,), annotations={"a": "b"}, extra={"x": 1}, subject=LAYER)
INDEX = Index((Descriptor(DOCKER_MANIFEST, DIGEST, 3, platform=Platform("linux", "arm", "v7")),))


def retrieve(uri: str) -> Resource[Any]:
    return DRAFT4.create_resource(json.loads((SCHEMAS / uri.rpartition("/")[2]).read_text()))


def check_schema(name: str, value: object) -> None:
    schema = json.loads((SCHEMAS / name).read_text())
    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]
    jsonschema.Draft4Validator(schema, registry=registry).validate(value)


def test_round_trips() -> None:
    assert parse_config(CONFIG.encode()) == CONFIG
    assert parse_manifest(MANIFEST.encode()) == MANIFEST
    assert parse_index(INDEX.encode()) == INDEX


def test_documents_fit_the_schemas() -> None:
    check_schema("config-schema.json", CONFIG.to_json())
    check_schema("image-manifest-schema.json", MANIFEST.to_json())
    check_schema("image-index-schema.json", INDEX.to_json())


def test_null_differs_from_empty() -> None:
    config = ContainerConfig.from_json({"Cmd": None, "Entrypoint": []})
    assert config.cmd is None
    assert config.entrypoint == ()
    assert config.to_json() == {"Entrypoint": []}
    assert ContainerConfig.from_json(None) == ContainerConfig()


def test_chain() -> None:
    more = CONFIG.append_layer(Digest("sha256:" + "c" * 64), History(comment="x"))
    assert len(more.chain_ids()) == 2
    assert more.chain_ids()[0] == DIGEST
    assert more.history[-1].comment == "x"
    assert CONFIG.platform == Platform("linux", "amd64", "v2")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "invalid manifest: Expecting value"),
        (b"[]", "invalid manifest: expected an object, not an array"),
        (b"{}", "invalid manifest: unsupported schemaVersion None"),
        (b'{"schemaVersion":1}', "invalid manifest: unsupported schemaVersion 1"),
        (b'{"schemaVersion":2}', "invalid manifest: no config"),
        (b'{"schemaVersion":2,"manifests":[]}', "unexpected member 'manifests'"),
        (b'{"schemaVersion":2,"config":{"digest":"x"}}', "size None"),
        (b'{"schemaVersion":2,"config":{"size":1,"digest":"x"}}', "invalid digest format: 'x'"),
        (b'{"schemaVersion":2,"mediaType":"a/b"}', "unexpected mediaType 'a/b'"),
        (b"[" * 100_000, "invalid manifest"),
    ],
)
def test_bad_manifests(data: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_manifest(data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("config", []),
        ("config", {"Env": "x"}),
        ("config", {"Env": [1]}),
        ("config", {"Labels": {"a": 1}}),
        ("config", {"Healthcheck": {"Interval": "1s"}}),
        ("rootfs", {"diff_ids": ["x"]}),
        ("history", {}),
        ("architecture", 1),
    ],
)
def test_bad_configs(member: str, value: object) -> None:
    with pytest.raises(InvalidArgument):
        parse_config(json.dumps({member: value}).encode())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["config", "rootfs", "history", "os", "created", "x", "schemaVersion",
                         "layers", "manifests", "mediaType"]) | st.text(max_size=5),
        _json,
    )
)  # fmt: skip
def test_anything_is_read_or_refused(document: dict[str, Any]) -> None:
    data = json.dumps(document).encode()
    for parse in (parse_config, parse_manifest, parse_index):
        try:
            value = parse(data)
        except InvalidArgument:
            continue
        assert parse(value.encode()).encode() == value.encode()
