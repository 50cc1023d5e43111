"""Device access rules: OCI `linux.resources.devices` as values (config-linux, "Allowed Device List").

Rules apply in order, later ones over earlier ones.
"""

from dataclasses import dataclass, replace
from typing import Any

ALL = -1


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """`kind` is `a` (all), `b` or `c`; `major` and `minor` -1 match any; `access` out of rwm."""

    allow: bool
    kind: str = "a"
    major: int = ALL
    minor: int = ALL
    access: str = "rwm"

    def __str__(self) -> str:
        if self.kind == "a":
            return "a"
        major, minor = (
            "*" if number == ALL else str(number) for number in (self.major, self.minor)
        )
        return f"{self.kind} {major}:{minor} {self.access}"


def parse(rules: list[dict[str, Any]]) -> tuple[DeviceRule, ...]:
    """Parse the member; ValueError names the rule."""
    parsed: list[DeviceRule] = []
    for item in rules:
        rule = _rule(item)
        if rule.kind == "a" and not is_wildcard(rule):
            # For the kernel, "a" is about everything, whatever the numbers.
            parsed += [replace(rule, kind="b"), replace(rule, kind="c")]
        else:
            parsed.append(rule)
    return tuple(parsed)


def _rule(rule: dict[str, Any]) -> DeviceRule:
    word, access = rule.get("type") or "a", rule.get("access") or "rwm"
    if not isinstance(word, str) or not isinstance(access, str):
        raise ValueError(f"invalid device rule {rule}")
    kind = "c" if word == "u" else word
    if kind not in ("a", "b", "c") or set(access) - set("rwm"):
        raise ValueError(f"invalid device rule {rule}")
    for key in ("major", "minor"):
        if not isinstance(rule.get(key), int | None):
            raise ValueError(f"invalid device rule {rule}: {key} must be an integer")
    major, minor = (ALL if rule.get(key) is None else int(rule[key]) for key in ("major", "minor"))
    return DeviceRule(bool(rule.get("allow")), kind, major, minor, access)


def is_wildcard(rule: DeviceRule) -> bool:
    """Tell whether the rule is about everything, so that what was said before is moot."""
    return rule.kind == "a" and rule.major == rule.minor == ALL
