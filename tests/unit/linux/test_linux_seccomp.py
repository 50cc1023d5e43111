"""Seccomp programs, run by an interpreter of classic BPF and compared with a naive evaluation."""

import errno
import operator
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.linux import bpf, seccomp, syscall_tables
from tiffin.linux.bpf import Instruction
from tiffin.linux.seccomp import (
    ARCHITECTURES,
    RET_ALLOW,
    RET_ERRNO,
    RET_KILL_PROCESS,
    RET_KILL_THREAD,
    RET_LOG,
    RET_TRACE,
)

X86_64 = ARCHITECTURES["SCMP_ARCH_X86_64"]
NUMBERS = syscall_tables.parse(X86_64.table)
X32_BIT = 0x40000000


def run(program: list[Instruction], number: int, arch: int, args: tuple[int, ...] = ()) -> int:
    """Interpret the program over `struct seccomp_data`, as the kernel would."""
    padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, arch, 0, *padded)
    accumulator, at = 0, 0
    for _ in range(len(program) + 1):
        code, jt, jf, k = program[at]
        at += 1
        if code == bpf.LD_ABS:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif code == bpf.AND:
            accumulator &= k
        elif code == bpf.JA:
            at += k
        elif code == bpf.RET:
            return k
        else:
            holds = {
                bpf.JEQ: accumulator == k,
                bpf.JGT: accumulator > k,
                bpf.JGE: accumulator >= k,
            }[code]
            at += jt if holds else jf
    raise AssertionError("a program only jumps forward")


def check(profile: dict[str, Any], number: int, arch: int, *args: int) -> int:
    return run(seccomp.assemble(profile, "x86_64"), number, arch, args)


def allow(*names: str, **more: object) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", **more}


def test_listed_calls_are_allowed_and_others_not() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("read", "write", "statx")]}
    assert check(profile, NUMBERS["read"], X86_64.audit) == RET_ALLOW
    assert check(profile, NUMBERS["statx"], X86_64.audit) == RET_ALLOW
    assert check(profile, NUMBERS["open"], X86_64.audit) == RET_ERRNO | errno.EPERM


def test_calls_newer_than_the_profile_do_not_exist() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow("read", "openat2")]}
    assert check(profile, NUMBERS["openat2"] + 1, X86_64.audit) == RET_ERRNO | errno.ENOSYS
    assert check(profile, 4000, X86_64.audit) == RET_ERRNO | errno.ENOSYS
    killing = {"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [allow("read")]}
    assert check(killing, 4000, X86_64.audit) == RET_KILL_PROCESS


def test_errno_and_trace_carry_a_number() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 13,
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["write"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["openat2"], "action": "SCMP_ACT_LOG"},
        ],
    }
    assert check(profile, NUMBERS["read"], X86_64.audit) == RET_ERRNO | 38
    assert check(profile, NUMBERS["write"], X86_64.audit) == RET_TRACE | 7
    assert check(profile, NUMBERS["openat2"], X86_64.audit) == RET_LOG
    assert check(profile, NUMBERS["open"], X86_64.audit) == RET_ERRNO | 13


def test_other_architectures_are_killed_unless_listed() -> None:
    rules = [allow("read", "time")]
    native = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    i386 = ARCHITECTURES["SCMP_ARCH_X86"]
    assert check(native, 3, i386.audit) == RET_KILL_THREAD
    assert check(native, X32_BIT, X86_64.audit) == RET_KILL_THREAD
    listed = {**native, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
    assert check(listed, 3, i386.audit) == RET_ALLOW  # read is number 3 there
    assert check(listed, 0, i386.audit) == RET_ERRNO | errno.EPERM
    assert check(listed, X32_BIT, X86_64.audit) == RET_ALLOW
    assert check(listed, X32_BIT + 1, X86_64.audit) == RET_ERRNO | errno.EPERM
    assert check(listed, 0, ARCHITECTURES["SCMP_ARCH_AARCH64"].audit) == RET_KILL_THREAD


def test_conditions_on_one_argument_are_alternatives_and_on_several_all_hold() -> None:
    either = [
        {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
        {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
    ]
    both = [
        {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
        {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"},
    ]
    rules = [allow("read", args=either), allow("write", args=both)]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    denied = RET_ERRNO | errno.EPERM
    assert check(profile, NUMBERS["read"], X86_64.audit, 2) == RET_ALLOW
    assert check(profile, NUMBERS["read"], X86_64.audit, 3) == denied
    assert check(profile, NUMBERS["write"], X86_64.audit, 1, 2) == RET_ALLOW
    assert check(profile, NUMBERS["write"], X86_64.audit, 1, 3) == denied


def test_a_rule_without_arguments_decides_over_rules_with() -> None:
    condition = [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    rules = [
        {"names": ["read"], "action": "SCMP_ACT_KILL", "args": condition},
        allow("read", "openat2"),
    ]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    assert check(profile, NUMBERS["read"], X86_64.audit, 1) == RET_ALLOW


def test_unknown_calls_are_ignored_and_unknown_words_refused() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [allow("no_such_call")]}
    assert check(profile, 0, X86_64.audit) == RET_ALLOW
    with pytest.raises(ValueError, match="SCMP_ACT_DANCE"):
        seccomp.assemble({"defaultAction": "SCMP_ACT_DANCE"}, "x86_64")
    bad = allow("read", args=[{"index": 9, "value": 0, "op": "SCMP_CMP_EQ"}])
    with pytest.raises(ValueError, match="argument index 9"):
        seccomp.assemble({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [bad]}, "x86_64")
    with pytest.raises(ValueError, match="VAX"):
        seccomp.assemble({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["VAX"]}, "x86_64")
    with pytest.raises(ValueError, match="vax"):
        seccomp.assemble({"defaultAction": "SCMP_ACT_ALLOW"}, "vax")


def test_tables_hold_the_numbers_of_the_kernel() -> None:
    assert NUMBERS["execve"] == 59
    assert NUMBERS["openat2"] == 437
    assert syscall_tables.parse(syscall_tables.AARCH64)["execve"] == 221
    assert syscall_tables.parse(syscall_tables.I386)["execve"] == 11
    assert syscall_tables.parse(syscall_tables.ARM)["execve"] == 11
    assert syscall_tables.parse(syscall_tables.X32)["execve"] == 520


OPERATORS = {
    "SCMP_CMP_EQ": operator.eq,
    "SCMP_CMP_NE": operator.ne,
    "SCMP_CMP_LT": operator.lt,
    "SCMP_CMP_LE": operator.le,
    "SCMP_CMP_GT": operator.gt,
    "SCMP_CMP_GE": operator.ge,
}


def holds(item: dict[str, Any], argument: int) -> bool:
    if item["op"] == "SCMP_CMP_MASKED_EQ":
        return bool(argument & item["value"] == item["valueTwo"])
    return bool(OPERATORS[item["op"]](argument, item["value"]))


EDGES = st.sampled_from([0, 1, 2, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 64) - 1, 0x80000000])
NAMES = ["read", "write", "open", "close", "clone", "socket", "personality", "statx", "openat2"]
ACTIONS = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"]
CONDITIONS = st.builds(
    lambda index, op, value, two: {"index": index, "op": op, "value": value, "valueTwo": two},
    st.integers(0, 5), st.sampled_from([*OPERATORS, "SCMP_CMP_MASKED_EQ"]), EDGES, EDGES,
)  # fmt: skip
RULES = st.builds(
    lambda names, action, args: {"names": names, "action": action, "args": args},
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    st.sampled_from(ACTIONS),
    st.lists(CONDITIONS, max_size=3),
)


def naive(rules: list[dict[str, Any]], default: int, name: str, args: tuple[int, ...]) -> int:
    """Evaluate a profile as its documentation says, without any cleverness."""
    values = {"SCMP_ACT_ALLOW": RET_ALLOW, "SCMP_ACT_ERRNO": RET_ERRNO | errno.EPERM,
              "SCMP_ACT_KILL_PROCESS": RET_KILL_PROCESS, "SCMP_ACT_LOG": RET_LOG}  # fmt: skip
    mine = [rule for rule in rules if name in rule["names"]]
    for rule in mine:
        if not rule["args"]:
            return values[rule["action"]]
    for rule in mine:
        results = [holds(item, args[item["index"]]) for item in rule["args"]]
        indexes = [item["index"] for item in rule["args"]]
        if any(results) if len(set(indexes)) < len(indexes) else all(results):
            return values[rule["action"]]
    return default


@settings(max_examples=200, deadline=None)
@given(
    rules=st.lists(RULES, max_size=8),
    args=st.tuples(EDGES, EDGES, EDGES, EDGES, EDGES, EDGES),
)
def test_programs_agree_with_a_naive_evaluation(
    rules: list[dict[str, Any]], args: tuple[int, ...]
) -> None:
    profile = {"defaultAction": "SCMP_ACT_TRAP", "syscalls": rules}
    program = seccomp.assemble(profile, "x86_64")
    for name in NAMES:
        found = run(program, NUMBERS[name], X86_64.audit, args)
        assert found == naive(rules, 0x00030000, name, args), name


@settings(max_examples=50, deadline=None)
@given(st.sets(st.sampled_from(sorted(NUMBERS))))
def test_every_number_of_an_allow_list(names: set[str]) -> None:
    rules = [allow(*sorted(names))] if names else []
    program = seccomp.assemble({"defaultAction": "SCMP_ACT_TRAP", "syscalls": rules}, "x86_64")
    allowed = {NUMBERS[name] for name in names}
    for number in (*range(480), X32_BIT - 1):
        wanted = RET_ALLOW if number in allowed else 0x00030000
        assert run(program, number, X86_64.audit) == wanted


def test_jumps_over_more_than_255_instructions() -> None:
    names = sorted(NUMBERS)[::2]
    rules = [
        allow(name, args=[{"index": 0, "value": at, "op": "SCMP_CMP_EQ"}])
        for at, name in enumerate(names)
    ]
    program = seccomp.assemble({"defaultAction": "SCMP_ACT_TRAP", "syscalls": rules}, "x86_64")
    assert len(program) > 700
    for at, name in enumerate(names):
        assert run(program, NUMBERS[name], X86_64.audit, (at,)) == RET_ALLOW
        assert run(program, NUMBERS[name], X86_64.audit, (at + 1,)) == 0x00030000
