"""Docker's seccomp profile format and its translation to the OCI one.

A profile's rules may be tied to architectures, capabilities and kernel versions; the OCI object
holds only those that apply. The default profile is package data, see `default_seccomp.json`.
"""

import functools
import json
import os
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from tiffin.errors import InvalidArgument
from tiffin.spec.platform import host_platform

JsonObject = dict[str, Any]

_ARCHITECTURES = {
    "amd64": "SCMP_ARCH_X86_64",
    "arm64": "SCMP_ARCH_AARCH64",
    "386": "SCMP_ARCH_X86",
    "arm": "SCMP_ARCH_ARM",
    "ppc64le": "SCMP_ARCH_PPC64LE",
    "s390x": "SCMP_ARCH_S390X",
    "riscv64": "SCMP_ARCH_RISCV64",
    "loong64": "SCMP_ARCH_LOONGARCH64",
    "mips64le": "SCMP_ARCH_MIPSEL64",
}
_PROFILE_NAMES = {"386": "x86"}
_ACTION = re.compile(r"SCMP_ACT_[A-Z_]+")


def seccomp(profile: str, capabilities: Sequence[str]) -> JsonObject | None:
    """Return the OCI `linux.seccomp` object; None means unconfined.

    `profile` is "" or `builtin` for the default, `unconfined`, or a profile's JSON text;
    InvalidArgument if that cannot be used. Treat the result as immutable: it is shared.
    """
    if profile == "unconfined":
        return None
    held = frozenset(capabilities)
    return _default(held) if profile in ("", "builtin") else translate(_parse(profile), held)


@functools.lru_cache(maxsize=64)
def _default(capabilities: frozenset[str]) -> JsonObject:
    text = resources.files(__package__).joinpath("default_seccomp.json").read_text()
    return translate(json.loads(text), capabilities)


def _parse(text: str) -> JsonObject:
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"Decoding seccomp profile failed: {error}") from error
    if not isinstance(profile, dict):
        raise InvalidArgument("Decoding seccomp profile failed: it is not a JSON object")
    return profile


def translate(profile: JsonObject, capabilities: frozenset[str]) -> JsonObject:
    """Return the part of `profile` that applies to this machine and to `capabilities`."""
    architecture = host_platform().architecture
    try:
        out: JsonObject = {
            "defaultAction": _action(profile.get("defaultAction")),
            "architectures": _architectures(profile, architecture),
            "syscalls": [
                _rule(rule)
                for rule in profile.get("syscalls") or []
                if _applies(rule, architecture, capabilities)
            ],
        }
        for member in ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"):
            if profile.get(member) is not None:
                out[member] = profile[member]
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise InvalidArgument(f"invalid seccomp profile: {error}") from error
    if not out["syscalls"]:
        del out["syscalls"]
    return out


def _architectures(profile: JsonObject, architecture: str) -> list[str]:
    if profile.get("architectures") and profile.get("archMap"):
        raise InvalidArgument("both 'architectures' and 'archMap' are specified in the profile")
    if profile.get("architectures"):
        return [str(name) for name in profile["architectures"]]
    native = _ARCHITECTURES.get(architecture, "SCMP_ARCH_NATIVE")
    for entry in profile.get("archMap") or []:
        if entry["architecture"] == native:
            return [native, *(entry.get("subArchitectures") or [])]
    return [native]


def _applies(rule: JsonObject, architecture: str, capabilities: frozenset[str]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    name = _PROFILE_NAMES.get(architecture, architecture)
    if includes.get("arches") and name not in includes["arches"]:
        return False
    if name in (excludes.get("arches") or ()):
        return False
    if not capabilities.issuperset(includes.get("caps") or ()):
        return False
    if not capabilities.isdisjoint(excludes.get("caps") or ()):
        return False
    if includes.get("minKernel") and _kernel() < _version(includes["minKernel"]):
        return False
    return not (excludes.get("minKernel") and _kernel() >= _version(excludes["minKernel"]))


def _rule(rule: JsonObject) -> JsonObject:
    if rule.get("name") and rule.get("names"):
        raise InvalidArgument("both 'name' and 'names' are specified in the profile")
    names = [rule["name"]] if rule.get("name") else list(rule.get("names") or ())
    out: JsonObject = {"names": names, "action": _action(rule.get("action"))}
    if rule.get("errnoRet") is not None:
        out["errnoRet"] = int(rule["errnoRet"])
    if rule.get("args"):
        out["args"] = [
            {
                key: argument[key]
                for key in ("index", "value", "valueTwo", "op")
                if argument.get(key) is not None
            }
            for argument in rule["args"]
        ]
    return out


def _action(text: object) -> str:
    if not isinstance(text, str) or not _ACTION.fullmatch(text):
        raise InvalidArgument(f"invalid seccomp profile: unknown action {text!r}")
    return text


def _version(text: str) -> tuple[int, int]:
    major, _, minor = str(text).partition(".")
    return int(major), int(re.match(r"\d*", minor)[0] or 0)  # type: ignore[index]  # always matches


@functools.cache
def _kernel() -> tuple[int, int]:
    return _version(os.uname().release)
