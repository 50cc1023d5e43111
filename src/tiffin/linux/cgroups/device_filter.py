"""Device access in v2: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE (man 2 bpf).

The program sees `struct bpf_cgroup_dev_ctx {u32 access_type; u32 major; u32 minor}`, where
access_type is (access << 16) | type, and returns 1 to allow.
"""

import ctypes
import os
import struct

from tiffin.linux import syscalls
from tiffin.linux.cgroups.devices import ALL, DeviceRule, is_wildcard

_BPF_PROG_LOAD = 5
_BPF_PROG_ATTACH = 8
_BPF_PROG_DETACH = 9
_BPF_PROG_GET_FD_BY_ID = 13
_BPF_PROG_QUERY = 16
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}

# Instruction codes: class | source | operation.
_LOAD_WORD, _MOV_IMM, _MOV_REG = 0x61, 0xB7, 0xBF
_AND32_IMM, _RSH32_IMM, _JNE_IMM, _EXIT = 0x54, 0x74, 0x55, 0x95
_JNE_REG = 0x5D


def assemble(rules: tuple[DeviceRule, ...]) -> bytes:
    """Return the program as an array of `struct bpf_insn`.

    The last matching rule decides, so they are tested from the last to the first; without a match
    access is allowed, as in a fresh group.
    """
    program = [
        _instruction(_LOAD_WORD, 2, 1, 0),  # r2 = type
        _instruction(_AND32_IMM, 2, 0, 0, 0xFFFF),
        _instruction(_LOAD_WORD, 3, 1, 0),  # r3 = access
        _instruction(_RSH32_IMM, 3, 0, 0, 16),
        _instruction(_LOAD_WORD, 4, 1, 4),  # r4 = major
        _instruction(_LOAD_WORD, 5, 1, 8),  # r5 = minor
    ]
    for rule in reversed(rules):
        program += _tests(rule)
        if is_wildcard(rule):
            return b"".join(program)
    program += _verdict(allow=True)
    return b"".join(program)


def _tests(rule: DeviceRule) -> list[bytes]:
    if is_wildcard(rule):
        return _verdict(allow=rule.allow)
    tests: list[tuple[int, int, int]] = []  # (code, register, immediate), each jumps to the end
    if rule.kind != "a":
        tests.append((_JNE_IMM, 2, _KINDS[rule.kind]))
    access = sum(_ACCESS[letter] for letter in set(rule.access))
    if access != 7:
        # All that is asked for must be in the rule: (asked & rule) == asked.
        tests += [(_MOV_REG, 1, 3), (_AND32_IMM, 1, access), (_JNE_REG, 1, 3)]
    for register, number in ((4, rule.major), (5, rule.minor)):
        if number != ALL:
            tests.append((_JNE_IMM, register, number))
    verdict = _verdict(allow=rule.allow)
    body: list[bytes] = []
    for index, (code, register, value) in enumerate(tests):
        over = len(tests) - index - 1 + len(verdict)
        if code in (_MOV_REG, _JNE_REG):
            body.append(_instruction(code, register, value, over if code == _JNE_REG else 0))
        else:
            body.append(_instruction(code, register, 0, over if code == _JNE_IMM else 0, value))
    return body + verdict


def _verdict(*, allow: bool) -> list[bytes]:
    return [_instruction(_MOV_IMM, 0, 0, 0, int(allow)), _instruction(_EXIT, 0, 0, 0)]


def _instruction(code: int, target: int, source: int, offset: int, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, source << 4 | target, offset, immediate)


class _Load(ctypes.Structure):
    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
    )


class _Attach(ctypes.Structure):
    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
    )


class _Query(ctypes.Structure):
    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class _ById(ctypes.Structure):
    _fields_ = (
        ("prog_id", ctypes.c_uint32),
        ("next_id", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


def load(program: bytes) -> int:
    """Load the program; return its descriptor. OSError."""
    code = ctypes.create_string_buffer(program, len(program))
    text = ctypes.create_string_buffer(b"Apache-2.0")
    arguments = _Load(_BPF_PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code),
                      ctypes.addressof(text))  # fmt: skip
    return syscalls.bpf(_BPF_PROG_LOAD, arguments)


def replace(directory: str, program: bytes) -> None:
    """Attach the program to the group and detach those that were there; OSError.

    The old ones go last: access is never wider than both say.
    """
    group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        before = _attached(group)
        fd = load(program)
        try:
            syscalls.bpf(
                _BPF_PROG_ATTACH, _Attach(group, fd, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI)
            )
        finally:
            os.close(fd)
        for number in before:
            old = syscalls.bpf(_BPF_PROG_GET_FD_BY_ID, _ById(number))
            try:
                syscalls.bpf(_BPF_PROG_DETACH, _Attach(group, old, _BPF_CGROUP_DEVICE))
            finally:
                os.close(old)
    finally:
        os.close(group)


def _attached(group: int) -> list[int]:
    numbers = (ctypes.c_uint32 * 64)()
    query = _Query(group, _BPF_CGROUP_DEVICE, 0, 0, ctypes.addressof(numbers), len(numbers))
    syscalls.bpf(_BPF_PROG_QUERY, query)
    return [int(number) for number in numbers[: query.prog_cnt]]
