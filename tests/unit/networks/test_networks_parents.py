"""Parents of macvlans and ipvlans, and what the kernel is asked for, without a kernel."""

import struct
from typing import cast

import pytest

from tiffin.errors import InvalidArgument, NotFound
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel, Request
from tiffin.networks.driver import NetworkSpec
from tiffin.networks.parents import Parents
from tiffin.spec.ids import NetworkId, new_id
from tiffin.wire import netlink as nl

LINK_HEADER = 16
IFLA_LINKINFO, IFLA_INFO_KIND, IFLA_INFO_DATA = 18, 1, 2


def info(request: Request) -> tuple[str, dict[int, int]]:
    """Return an interface's kind and its settings of 16 bits."""
    link = nl.attributes(request.payload[LINK_HEADER:])
    members = nl.attributes(link[IFLA_LINKINFO])
    data = nl.attributes(members.get(IFLA_INFO_DATA, b""))
    settings = {key: struct.unpack("=H", value)[0] for key, value in data.items()}
    return members[IFLA_INFO_KIND].rstrip(b"\0").decode(), settings


class PaperKernel:
    """Interfaces by name; those that are made come into being."""

    def __init__(self, *names: str) -> None:
        self.links = dict.fromkeys(names, "")
        self.made: list[Request] = []

    def find(self, _channel: Channel, name: str) -> rt.Link | None:
        if name not in self.links:
            return None
        return rt.Link(7, name, "", True, 1500, "", 0, 0, self.links[name])

    def execute(self, requests: list[Request]) -> None:
        self.made += requests


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> PaperKernel:
    kernel = PaperKernel("lo", "eth0")
    monkeypatch.setattr("tiffin.networks.parents.rt.find_link", kernel.find)
    return kernel


def network(parent: str) -> NetworkSpec:
    options = {"parent": parent} if parent else {}
    return NetworkSpec(NetworkId(new_id()), "wire", "ipvlan", options=options)


def test_what_is_there_is_used_and_left(kernel: PaperKernel) -> None:
    parents = Parents("tf", cast("Channel", kernel))
    assert parents.ensure(network("eth0")).name == "eth0"
    parents.remove(network("eth0"))
    assert kernel.made == []


@pytest.mark.parametrize(
    ("parent", "name", "made"),
    [("eth0.42", "eth0.42", ("vlan", {1: 42})), ("", "dtf", ("dummy", {}))],
)
def test_what_is_missing_is_made_and_goes(
    kernel: PaperKernel, parent: str, name: str, made: tuple[str, dict[int, int]]
) -> None:
    parents = Parents("tf", cast("Channel", kernel))
    wanted = network(parent)
    with pytest.raises(NotFound):  # this kernel makes nothing
        parents.ensure(wanted)
    assert info(kernel.made[0]) == made
    name = name if parent else f"{name}{wanted.id}"[:12]
    kernel.links[name] = f"tf:{wanted.id}"
    assert parents.ensure(wanted).name == name
    kernel.made.clear()
    parents.remove(wanted)
    assert [request.what for request in kernel.made] == ["delete link 7"]


@pytest.mark.parametrize(
    ("parent", "error"),
    [
        ("lo", InvalidArgument),
        ("eth0.0", InvalidArgument),
        ("eth0.4095", InvalidArgument),
        ("eth0.x", InvalidArgument),
        ("eth9", NotFound),
        ("eth9.1", NotFound),
    ],
)
def test_parents_that_cannot_be(kernel: PaperKernel, parent: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        Parents("tf", cast("Channel", kernel)).ensure(network(parent))


def test_an_ipvlan_as_ip_asks_for_it() -> None:
    made = rt.add_ipvlan("eth0", parent=7, netns=3, mode=rt.IpvlanMode.L3S, flag=rt.IpvlanFlag.VEPA)
    assert info(made) == ("ipvlan", {1: 2, 2: 2})
