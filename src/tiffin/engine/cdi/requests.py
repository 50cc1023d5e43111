"""`--device vendor.com/class=name` and `--gpus`: device requests, answered by CDI devices."""

from collections.abc import Sequence
from typing import Any

from tiffin.api.types.resources import DeviceRequest
from tiffin.engine.cdi.catalogue import Catalogue, discover
from tiffin.engine.cdi.edit import apply
from tiffin.errors import FailedPrecondition, InvalidArgument

_GPU_KINDS = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
_GPU_CAPABILITIES = frozenset({
    "gpu", "nvidia", "amd", "compute", "compat32", "graphics", "utility", "video", "display",
})  # fmt: skip


def inject(
    config: dict[str, Any], requests: Sequence[DeviceRequest], directories: Sequence[str]
) -> None:
    """Add what `requests` ask for to an OCI runtime configuration, in place. Blocking.

    No directories mean that CDI is switched off. FailedPrecondition says which device there is
    not, InvalidArgument what cannot be meant.
    """
    catalogue = discover(directories)
    names = [name for request in requests for name in _names(request, catalogue, bool(directories))]
    if names:
        apply(config, catalogue.edits(names))


def _names(request: DeviceRequest, catalogue: Catalogue, enabled: bool) -> Sequence[str]:
    if request.driver == "cdi" and enabled:
        if request.count:
            raise InvalidArgument("unexpected count in CDI device request")
        if request.options:
            raise InvalidArgument("unexpected options in CDI device request")
        return request.device_ids or ()
    kind = _gpu_kind(request, catalogue)
    if kind is None:
        raise FailedPrecondition(
            f'could not select device driver "{request.driver}" '
            f"with capabilities: {_as_go(request.capabilities)}"
        )
    return [f"{kind}={name}" for name in _gpus(request, catalogue.of_kind(kind))]


def _gpu_kind(request: DeviceRequest, catalogue: Catalogue) -> str | None:
    """Return the kind of GPU that serves a request, None where no vendor described one."""
    if request.driver:
        kinds = [_GPU_KINDS[request.driver]] if request.driver in _GPU_KINDS else []
    elif any(set(wanted) <= _GPU_CAPABILITIES for wanted in request.capabilities or () if wanted):
        kinds = list(_GPU_KINDS.values())
    else:
        kinds = []
    return next((kind for kind in kinds if catalogue.of_kind(kind)), None)


def _gpus(request: DeviceRequest, known: Sequence[str]) -> Sequence[str]:
    if request.device_ids:
        if request.count:
            raise InvalidArgument("cannot set both Count and DeviceIDs on device request")
        return request.device_ids
    if request.count < 0:
        return ["all"] if "all" in known else known
    numbered = sorted((name for name in known if name.isdecimal()), key=int)
    if request.count > len(numbered):
        raise FailedPrecondition(
            f"{request.count} GPUs were asked for, and this machine has {len(numbered)}"
        )
    return numbered[: request.count]


def _as_go(capabilities: Sequence[Sequence[str]] | None) -> str:
    groups = " ".join(f"[{' '.join(group)}]" for group in capabilities or ())
    return f"[{groups}]"
