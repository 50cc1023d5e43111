"""An OCI `linux.seccomp` object → a filter program (runtime-spec, config-linux, "Seccomp").

Semantics, where the specification leaves them open, are those that profiles are written against:
a rule without arguments decides over rules with arguments for the same call; several conditions on
the same argument are alternatives; a call that the architecture lacks is ignored; the kernel's own
architecture is always covered; a call made through an architecture that is not listed kills the
thread. If the default is an error, calls newer than all that the profile knows fail with ENOSYS, so
that C libraries fall back to older ones instead of giving up.
"""

import errno
import os
from dataclasses import dataclass
from typing import Any

from tiffin.linux import bpf, syscall_tables
from tiffin.linux.bpf import Comparison, Decision, Instruction

JsonObject = dict[str, Any]

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_TRACE = 0x7FF00000
RET_USER_NOTIF = 0x7FC00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

ACTIONS = {
    "SCMP_ACT_KILL": RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": RET_TRAP,
    "SCMP_ACT_ERRNO": RET_ERRNO,
    "SCMP_ACT_TRACE": RET_TRACE,
    "SCMP_ACT_LOG": RET_LOG,
    "SCMP_ACT_NOTIFY": RET_USER_NOTIF,
    "SCMP_ACT_ALLOW": RET_ALLOW,
}
_WITH_DATA = (RET_ERRNO, RET_TRACE)
OPERATORS = {
    "SCMP_CMP_NE": "ne",
    "SCMP_CMP_LT": "lt",
    "SCMP_CMP_LE": "le",
    "SCMP_CMP_EQ": "eq",
    "SCMP_CMP_GE": "ge",
    "SCMP_CMP_GT": "gt",
    "SCMP_CMP_MASKED_EQ": "masked_eq",
}
_AUDIT_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_LONGEST_PROGRAM = 4096


@dataclass(frozen=True, slots=True)
class Architecture:
    """One calling convention: the kernel's AUDIT_ARCH value, its numbers, the bit they all have."""

    audit: int
    table: str
    marker: int = 0


ARCHITECTURES = {
    "SCMP_ARCH_X86_64": Architecture(_AUDIT_X86_64, syscall_tables.X86_64),
    "SCMP_ARCH_X32": Architecture(_AUDIT_X86_64, syscall_tables.X32, _X32_BIT),
    "SCMP_ARCH_X86": Architecture(0x40000003, syscall_tables.I386),
    "SCMP_ARCH_AARCH64": Architecture(0xC00000B7, syscall_tables.AARCH64),
    "SCMP_ARCH_ARM": Architecture(0x40000028, syscall_tables.ARM),
    "SCMP_ARCH_RISCV64": Architecture(0xC00000F3, syscall_tables.AARCH64),
    "SCMP_ARCH_LOONGARCH64": Architecture(0xC0000102, syscall_tables.AARCH64),
}
_NATIVE = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
    "riscv64": "SCMP_ARCH_RISCV64",
    "loongarch64": "SCMP_ARCH_LOONGARCH64",
}


def compile_profile(profile: JsonObject, machine: str = "") -> bytes:
    """Return the program as the kernel takes it; ValueError names what is wrong."""
    return bpf.encode(assemble(profile, machine or os.uname().machine))


def assemble(profile: JsonObject, machine: str) -> list[Instruction]:
    """Return the program's instructions for a kernel of that `machine` (uname -m)."""
    default = _action(profile.get("defaultAction", ""), profile.get("defaultErrnoRet"))
    rules = [_rule(item) for item in profile.get("syscalls") or []]
    by_audit: dict[int, dict[int, Architecture]] = {}
    for name in _names(profile, machine):
        architecture = ARCHITECTURES[name]
        by_audit.setdefault(architecture.audit, {})[architecture.marker] = architecture
    code = [bpf.give(RET_KILL_THREAD)]
    for audit, markers in reversed(by_audit.items()):
        body = [bpf.load(bpf.OFFSET_NR), *bpf.search(_stretches(markers, rules, default))]
        code = bpf.branch(bpf.JEQ, audit, body, code)
    code = [bpf.load(bpf.OFFSET_ARCH), *code]
    if len(code) > _LONGEST_PROGRAM:
        raise ValueError(f"the profile needs {len(code)} instructions, the kernel takes 4096")
    return code


@dataclass(frozen=True, slots=True)
class _Rule:
    names: tuple[str, ...]
    value: int
    alternatives: tuple[tuple[Comparison, ...], ...]


def _names(profile: JsonObject, machine: str) -> list[str]:
    if machine not in _NATIVE:
        raise ValueError(f"filters are not supported on {machine}")
    names = [_NATIVE[machine]]
    for name in profile.get("architectures") or []:
        if not isinstance(name, str) or not name.startswith("SCMP_ARCH_"):
            raise ValueError(f"unknown architecture {name!r}")
        # Those of other machines can never be called here.
        if name in ARCHITECTURES and name not in names and name in _compatible(machine):
            names.append(name)
    return names


def _compatible(machine: str) -> tuple[str, ...]:
    if machine == "x86_64":
        return ("SCMP_ARCH_X86", "SCMP_ARCH_X32")
    return ("SCMP_ARCH_ARM",) if machine == "aarch64" else ()


def _stretches(
    markers: dict[int, Architecture], rules: list[_Rule], default: int
) -> list[tuple[int, Decision]]:
    by_name = _decisions(rules, default)
    is_error = default & 0xFFFF0000 == RET_ERRNO
    unknown = Decision(RET_ERRNO | errno.ENOSYS if is_error else default)
    stretches: list[tuple[int, Decision]] = []
    for marker, architecture in sorted(markers.items()):
        numbers = syscall_tables.parse(architecture.table)
        decisions = {
            numbers[name] | marker: decision
            for name, decision in by_name.items()
            if name in numbers
        }
        stretches += bpf.ranges(decisions, Decision(default), marker)
        if decisions:
            newest = max(decisions)
            stretches = [item for item in stretches if item[0] <= newest]
            stretches.append((newest + 1, unknown))
    if _X32_BIT not in markers and any(item.audit == _AUDIT_X86_64 for item in markers.values()):
        stretches.append((_X32_BIT, Decision(RET_KILL_THREAD)))
    return stretches


def _decisions(rules: list[_Rule], default: int) -> dict[str, Decision]:
    plain: dict[str, int] = {}
    chains: dict[str, list[tuple[tuple[Comparison, ...], int]]] = {}
    for rule in rules:
        for name in rule.names:
            if rule.alternatives:
                chain = chains.setdefault(name, [])
                chain += [(comparisons, rule.value) for comparisons in rule.alternatives]
            else:
                plain.setdefault(name, rule.value)
    found = {name: Decision(value) for name, value in plain.items()}
    for name, chain in chains.items():
        found.setdefault(name, Decision(default, tuple(chain)))
    return found


def _rule(item: JsonObject) -> _Rule:
    names = item.get("names") or ([item["name"]] if item.get("name") else [])
    value = _action(item.get("action", ""), item.get("errnoRet"))
    comparisons = [_comparison(each) for each in item.get("args") or []]
    indexes = [each.argument for each in comparisons]
    if len(set(indexes)) < len(indexes):
        return _Rule(tuple(names), value, tuple((each,) for each in comparisons))
    return _Rule(tuple(names), value, (tuple(comparisons),) if comparisons else ())


def _comparison(item: JsonObject) -> Comparison:
    operation = OPERATORS.get(item.get("op", ""))
    if operation is None:
        raise ValueError(f"unknown operator {item.get('op')!r}")
    index, value, value_two = (int(item.get(key) or 0) for key in ("index", "value", "valueTwo"))
    if not 0 <= index <= 5:
        raise ValueError(f"argument index {index} is not one of 0 to 5")
    if not (0 <= value < 1 << 64 and 0 <= value_two < 1 << 64):
        raise ValueError(f"argument value {value} does not fit 64 bits")
    return Comparison(index, operation, value, value_two)


def _action(name: str, number: int | None) -> int:
    if name not in ACTIONS:
        raise ValueError(f"unsupported action {name!r}")
    value = ACTIONS[name]
    if value not in _WITH_DATA:
        return value
    data = errno.EPERM if number is None else number
    if not 0 <= data <= 0xFFFF:
        raise ValueError(f"errnoRet {data} does not fit 16 bits")
    return value | data
