"""Classic BPF for seccomp: decisions over system call numbers → instructions (man 2 seccomp).

A *decision* is either a return value, or a chain: rules that look at arguments, tried in order, and
a return value for when none matches. Numbers are looked up by binary search over ranges, which
takes about eight comparisons where a list of all calls would take hundreds.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

LD_ABS, LD_IMM = 0x20, 0x00
JEQ, JGT, JGE, JSET, JA = 0x15, 0x25, 0x35, 0x45, 0x05
AND, RET = 0x54, 0x06

OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16
"""Members of `struct seccomp_data`."""

LAST = 0xFFFFFFFF
_LONGEST_JUMP = 255
_LOW = 0xFFFFFFFF


class Instruction(NamedTuple):
    """`struct sock_filter`."""

    code: int
    jt: int
    jf: int
    k: int


class Comparison(NamedTuple):
    """One test of an argument; `operation` is eq, ne, lt, le, gt, ge or masked_eq.

    For masked_eq, (argument & value) == value_two. Arguments are unsigned 64-bit numbers.
    """

    argument: int
    operation: str
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What to return; each rule of the chain (all comparisons hold → value) goes before."""

    value: int
    chain: tuple[tuple[tuple[Comparison, ...], int], ...] = ()


def encode(program: list[Instruction]) -> bytes:
    """Return the array of `struct sock_filter` that the kernel takes."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def load(offset: int) -> Instruction:
    """Load a word of `struct seccomp_data` into the accumulator."""
    return Instruction(LD_ABS, 0, 0, offset)


def give(value: int) -> Instruction:
    """End with a return value."""
    return Instruction(RET, 0, 0, value)


def branch(
    code: int, k: int, then: list[Instruction], other: list[Instruction]
) -> list[Instruction]:
    """Go to `then` if the comparison holds, else to `other`; any length."""
    if len(other) <= _LONGEST_JUMP:
        return [Instruction(code, len(other), 0, k), *other, *then]
    return [Instruction(code, 0, 1, k), Instruction(JA, 0, 0, len(other)), *other, *then]


def ranges(
    decisions: dict[int, Decision], default: Decision, first: int = 0
) -> list[tuple[int, Decision]]:
    """Return (first number, decision) of each stretch of equal decisions, from `first` on."""
    found: list[tuple[int, Decision]] = [(first, default)]
    for number in sorted(decisions):
        found.append((number, decisions[number]))
        if number < LAST:
            found.append((number + 1, default))
    merged: list[tuple[int, Decision]] = []
    for index, (start, decision) in enumerate(found):
        is_empty = index + 1 < len(found) and found[index + 1][0] == start
        if not is_empty and (not merged or merged[-1][1] != decision):
            merged.append((start, decision))
    return merged


def search(stretches: list[tuple[int, Decision]]) -> list[Instruction]:
    """Return code that finds the accumulator's stretch by binary search, and decides."""
    if len(stretches) == 1:
        return decide(stretches[0][1])
    middle = len(stretches) // 2
    below, above = search(stretches[:middle]), search(stretches[middle:])
    return branch(JGE, stretches[middle][0], above, below)


def decide(decision: Decision) -> list[Instruction]:
    """Return code for one decision; it may overwrite the accumulator."""
    code: list[Instruction] = []
    for comparisons, value in decision.chain:
        code += _rule(comparisons, value)
    return [*code, give(decision.value)]


def _rule(comparisons: tuple[Comparison, ...], value: int) -> list[Instruction]:
    """Return code that gives `value` if all hold, and else runs on behind itself."""
    code = [give(value)]
    for comparison in reversed(comparisons):
        code = _test(comparison, code)
    return code


def _test(comparison: Comparison, then: list[Instruction]) -> list[Instruction]:
    """Return code that runs `then` if the comparison holds and jumps behind it if not."""
    low_offset = (
        OFFSET_ARGS + 8 * comparison.argument
    )  # little-endian, as all that we have tables of
    high_offset = low_offset + 4
    low, high = comparison.value & _LOW, comparison.value >> 32
    fail = len(then)
    operation = comparison.operation
    if operation == "masked_eq":
        want_low, want_high = comparison.value_two & _LOW, comparison.value_two >> 32
        return [
            load(high_offset),
            Instruction(AND, 0, 0, high),
            Instruction(JEQ, 0, fail + 3, want_high),
            load(low_offset),
            Instruction(AND, 0, 0, low),
            Instruction(JEQ, 0, fail, want_low),
            *then,
        ]
    if operation == "eq":
        return [
            load(high_offset),
            Instruction(JEQ, 0, fail + 2, high),
            load(low_offset),
            Instruction(JEQ, 0, fail, low),
            *then,
        ]
    if operation == "ne":
        return [
            load(high_offset),
            Instruction(JEQ, 0, 2, high),
            load(low_offset),
            Instruction(JEQ, fail, 0, low),
            *then,
        ]
    if operation in ("gt", "ge"):
        code = JGT if operation == "gt" else JGE
        return [
            load(high_offset),
            Instruction(JGT, 3, 0, high),
            Instruction(JEQ, 0, fail + 2, high),
            load(low_offset),
            Instruction(code, 0, fail, low),
            *then,
        ]
    # lt is not ge, le is not gt
    code = JGE if operation == "lt" else JGT
    return [
        load(high_offset),
        Instruction(JGT, fail + 3, 0, high),
        Instruction(JEQ, 0, 2, high),
        load(low_offset),
        Instruction(code, fail, 0, low),
        *then,
    ]
