"""`RUN --mount=type=…`: its fields and which type takes which."""

from dataclasses import replace

from tiffin.build.dockerfile.instructions import RunMount
from tiffin.build.dockerfile.source import SyntaxProblem
from tiffin.build.dockerfile.words import closest, comma_fields

KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_COMMON = {"type", "target", "dst", "destination", "readonly", "ro", "readwrite", "rw"}
_FIELDS = {
    "bind": _COMMON | {"source", "src", "from"},
    "cache": _COMMON | {"source", "src", "from", "id", "sharing", "mode", "uid", "gid"},
    "tmpfs": _COMMON | {"size"},
    "secret": _COMMON | {"source", "src", "id", "required", "mode", "uid", "gid", "env"},
    "ssh": _COMMON | {"id", "required", "mode", "uid", "gid"},
}
_ALIASES = {
    "dst": "target", "destination": "target", "src": "source", "ro": "readonly",
    "rw": "readwrite", "from": "origin", "id": "identity", "env": "environment",
}  # fmt: skip
_SIZES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def parse_mount(text: str) -> RunMount:
    """Parse one `--mount` value; SyntaxProblem."""
    fields = comma_fields(text)
    kind = next((value or "" for name, value in fields if name == "type"), "bind").lower()
    if kind not in KINDS:
        near = closest(kind, KINDS)
        suggestion = f" (did you mean {near}?)" if near else ""
        raise SyntaxProblem(f'unsupported mount type "{kind}"{suggestion}', token=kind)
    mount = RunMount(kind=kind, readonly=kind in ("bind", "secret", "ssh"),
                     mode={"secret": 0o400, "ssh": 0o600}.get(kind, -1))  # fmt: skip
    for name, value in fields:
        mount = _with_field(mount, name, value)
    return _checked(mount)


def _with_field(mount: RunMount, name: str, value: str | None) -> RunMount:
    known = set().union(*_FIELDS.values())
    if name not in known:
        near = closest(name, known)
        raise SyntaxProblem(f"unexpected key '{name}' in '{_pair(name, value)}'"
                            + (f" (did you mean {near}?)" if near else ""), token=name)  # fmt: skip
    if name not in _FIELDS[mount.kind]:
        raise SyntaxProblem(f"unexpected key '{name}' for mount type '{mount.kind}'", token=name)
    field = _ALIASES.get(name, name)
    if field == "type":
        return mount
    if field in ("readonly", "readwrite", "required"):
        wanted = _boolean(name, value)
        if field == "required":
            return replace(mount, required=wanted)
        return replace(mount, readonly=wanted if field == "readonly" else not wanted)
    if value is None:
        raise SyntaxProblem(f"invalid field '{name}' must be a key=value pair", token=name)
    if field == "mode":
        return replace(mount, mode=_number(name, value, 8))
    if field in ("uid", "gid"):
        number = _number(name, value, 10)
        return replace(mount, uid=number) if field == "uid" else replace(mount, gid=number)
    if field == "size":
        return replace(mount, size=_size(value))
    if field == "sharing" and value.lower() not in _SHARING:
        raise SyntaxProblem(f'unsupported sharing value "{value}"', token=value)
    return _with_text(mount, field, value)


def _with_text(mount: RunMount, field: str, value: str) -> RunMount:
    if field == "sharing":
        return replace(mount, sharing=value.lower())
    if field == "target":
        return replace(mount, target=value)
    if field == "source":
        return replace(mount, source=value)
    if field == "origin":
        return replace(mount, origin=value)
    if field == "identity":
        return replace(mount, identity=value)
    return replace(mount, environment=value)


def _checked(mount: RunMount) -> RunMount:
    if mount.kind in ("bind", "cache", "tmpfs") and not mount.target:
        raise SyntaxProblem("target is required for mount type " + f'"{mount.kind}"')
    if mount.kind == "secret" and not (mount.identity or mount.source or mount.target):
        raise SyntaxProblem("invalid secret mount. one of source, target required")
    return mount


def _pair(name: str, value: str | None) -> str:
    return name if value is None else f"{name}={value}"


def _boolean(name: str, value: str | None) -> bool:
    known = {None: True, "true": True, "1": True, "false": False, "0": False}
    wanted = known.get(value.lower() if value else value)
    if wanted is None:
        raise SyntaxProblem(f"invalid value for {name}: {value}", token=value or "")
    return wanted


def _number(name: str, value: str, base: int) -> int:
    if not value.isascii() or not value.isdigit() or (base == 8 and set(value) & set("89")):
        raise SyntaxProblem(f"invalid value {value} for {name}", token=value)
    return int(value, base)


def _size(value: str) -> int:
    digits = value.lower().removesuffix("ib").removesuffix("b")
    unit = digits[-1:] if digits[-1:] in "kmgt" else ""
    number = digits.removesuffix(unit) if unit else digits
    if not number.isascii() or not number.isdigit():
        raise SyntaxProblem(f"invalid value for size: {value}", token=value)
    return int(number) * _SIZES[unit]
