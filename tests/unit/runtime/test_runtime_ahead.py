"""What a spare child makes beforehand is what the engine asks for."""

from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.mounts import _kernel_mounts
from tiffin.runtime import ahead
from tiffin.runtime.operation import made_key
from tiffin.runtime.spare import fits
from tiffin.spec.mount import Mount


def test_an_ordinary_container_finds_all_its_mounts_made() -> None:
    wanted = _kernel_mounts(HostConfig(), "", writable_cgroups=False)
    keys = {
        made_key(Mount(item["type"], item["source"], tuple(item["options"]))) for item in wanted
    }
    made = {made_key(item) for item in ahead.USUAL}
    assert {key for key in keys - made if key[0] != "cgroup"} == set()


def test_the_example_is_a_container_that_a_spare_can_become() -> None:
    assert fits(ahead.document())
