"""Docker's seccomp profile format and its translation to the OCI one.

A profile's rules may be tied to architectures, capabilities and kernel versions; the OCI object
holds only those that apply. The default profile is package data, see `default_seccomp.json`.
"""

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
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
_ACTIONS = frozenset(
    f"SCMP_ACT_{word}"
    for word in ("KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW")
)
_OPERATORS = frozenset(
    f"SCMP_CMP_{word}" for word in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
)
_FLAGS = frozenset(
    f"SECCOMP_FILTER_FLAG_{word}" for word in ("TSYNC", "LOG", "SPEC_ALLOW", "WAIT_KILLABLE_RECV")
)
_VERSION = re.compile(r"(\d{1,3})\.(\d{1,3})", re.ASCII)
_FAILED = "Decoding seccomp profile failed"


def seccomp(profile: str, capabilities: Sequence[str]) -> JsonObject | None:
    """Return the OCI `linux.seccomp` object; None means unconfined.

    `profile` is "" or `builtin` for the default, `unconfined`, or a profile's JSON text;
    InvalidArgument if that cannot be used. Treat the result as immutable: it is shared.
    """
    if profile == "unconfined":
        return None
    held = frozenset(capabilities)
    if profile in ("", "builtin"):
        return _default(held)
    document = _parse(profile)
    if not document.get("defaultAction") and not document.get("syscalls"):
        return None  # as Docker takes an empty profile
    return translate(document, held)


@functools.lru_cache(maxsize=64)
def _default(capabilities: frozenset[str]) -> JsonObject:
    text = Path(__file__).with_name("default_seccomp.json").read_text()
    return translate(json.loads(text), capabilities)


def _parse(text: str) -> JsonObject:
    try:
        profile = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{_FAILED}: {error}") from error
    if not isinstance(profile, dict):
        raise InvalidArgument(f"{_FAILED}: it is not a JSON object")
    return profile


def translate(profile: JsonObject, capabilities: frozenset[str]) -> JsonObject:
    """Return the part of `profile` that applies to this machine and to `capabilities`.

    InvalidArgument says what is wrong with it.
    """
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
        raise InvalidArgument(f"{_FAILED}: {error}") from error
    _check_flags(out.get("flags") or ())
    if not out["syscalls"]:
        del out["syscalls"]
    return out


def _architectures(profile: JsonObject, architecture: str) -> list[str]:
    if profile.get("architectures") and profile.get("archMap"):
        raise InvalidArgument(
            "both 'architectures' and 'archMap' are specified in the seccomp profile, use either"
            " 'architectures' or 'archMap'"
        )
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
        raise InvalidArgument(
            "both 'name' and 'names' are specified in the seccomp profile, use either"
            " 'name' or 'names'"
        )
    names = [rule["name"]] if rule.get("name") else list(rule.get("names") or ())
    out: JsonObject = {"names": names, "action": _action(rule.get("action"))}
    if rule.get("errnoRet") is not None:
        out["errnoRet"] = int(rule["errnoRet"])
    if rule.get("args"):
        out["args"] = [_argument(argument) for argument in rule["args"]]
    return out


def _argument(argument: JsonObject) -> JsonObject:
    if argument.get("op") not in _OPERATORS:
        raise ValueError(f"unknown operator {argument.get('op')!r}")
    kept = {key: argument[key] for key in ("index", "value", "valueTwo", "op") if key in argument}
    for key in ("index", "value", "valueTwo"):
        number = kept.get(key) or 0
        if not isinstance(number, int) or not 0 <= number < (6 if key == "index" else 1 << 64):
            raise ValueError(f"{key} of an argument cannot be {number!r}")
    return {key: value for key, value in kept.items() if value is not None}


def _action(text: object) -> str:
    if text == "SCMP_ACT_NOTIFY":
        raise InvalidArgument(
            "seccomp profile: SCMP_ACT_NOTIFY is not supported: containers of this daemon have no"
            " agent to ask; `tiffin-runtime` below another engine has"
        )
    if not isinstance(text, str) or text not in _ACTIONS:
        raise ValueError(f"unknown action {text!r}")
    return text


def _check_flags(flags: object) -> None:
    if not isinstance(flags, list | tuple):
        raise InvalidArgument(f"{_FAILED}: flags must be a list")
    for flag in flags:
        if flag not in _FLAGS:
            raise InvalidArgument(f"seccomp profile: unknown flag {flag!r}")


def _version(text: object) -> tuple[int, int]:
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None or text == "0.0":
        shown = json.dumps(text)
        raise ValueError(f'invalid kernel version: {shown}, expected "<kernel>.<major>"')
    return int(match[1]), int(match[2])


@functools.cache
def _kernel() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found is not None else (0, 0)
