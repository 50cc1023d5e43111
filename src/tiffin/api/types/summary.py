"""The container list on the wire.

These are plain structs, encoded by msgspec in one go: a list of a thousand containers must not
pass through the member-by-member walk that `Wire` types need.
"""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType


class Port(msgspec.Struct, kw_only=True, omit_defaults=False):
    """One exposed or published port."""

    ip: str | UnsetType = msgspec.field(default=UNSET, name="IP")
    private_port: int = msgspec.field(default=0, name="PrivatePort")
    public_port: int | UnsetType = msgspec.field(default=UNSET, name="PublicPort")
    type: str = msgspec.field(default="", name="Type")


class SummaryHostConfig(msgspec.Struct, kw_only=True, rename="pascal"):
    """The two members of HostConfig that the list shows."""

    network_mode: str | UnsetType = UNSET
    annotations: dict[str, str] | UnsetType = UNSET


class SummaryNetworks(msgspec.Struct, kw_only=True, rename="pascal"):
    """Endpoint settings by network name; already encoded."""

    networks: dict[str, Any] | Raw


class ContainerSummary(msgspec.Struct, kw_only=True, rename="pascal"):
    """One entry of `GET /containers/json`; `created` is Unix time in seconds."""

    id: str
    names: list[str]
    image: str
    image_id: str = msgspec.field(name="ImageID")
    command: str
    created: int
    ports: list[Port]
    size_rw: int | UnsetType = UNSET
    size_root_fs: int | UnsetType = UNSET
    labels: dict[str, str]
    state: str
    status: str
    host_config: SummaryHostConfig
    network_settings: SummaryNetworks
    mounts: Raw | list[Any]
