"""JSON to wire types and back, with the manners of Go's encoding/json.

On input keys match without regard to case, `null` means "not given", and unknown keys are ignored.
On output each type says by `omit_empty` which members Go would leave out when they are empty.
"""

import functools
import re
import types
import typing
from typing import Any, ClassVar, TypeVar

import msgspec

from tiffin.errors import InvalidArgument


class Wire(msgspec.Struct, kw_only=True):
    """Base of all wire types. `omit_empty` holds encoded member names, as on the wire.

    A base class's members stand first, or after the member `base_after`, as Go has embedded types.
    """

    omit_empty: ClassVar[frozenset[str]] = frozenset()
    base_after: ClassVar[str] = ""


T = TypeVar("T")


def decode(data: bytes, kind: type[T]) -> T:
    """Decode a request body; InvalidArgument says what is wrong and where."""
    try:
        raw = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(_in_go(data, str(error))) from error
    return convert(raw, kind)


def _in_go(data: bytes, said: str) -> str:
    """Say what is wrong with a document in the words of Go's decoder, where it has some."""
    place = re.search(r"\(byte (\d+)\)$", said)
    if "trailing characters" in said:
        return "unexpected content after JSON"
    if "truncated" in said:
        return "invalid JSON: unexpected EOF"
    if place is None or int(place[1]) >= len(data):
        return f"invalid JSON: {said}"
    found = chr(data[int(place[1])])
    if "object keys must be strings" in said:
        return (
            f"invalid JSON: invalid character '{found}' looking for beginning of object key string"
        )
    if "invalid character" in said:
        return f"invalid JSON: invalid character '{found}' looking for beginning of value"
    return f"invalid JSON: {said}"


def convert(raw: object, kind: type[T]) -> T:
    """Convert decoded JSON to `kind`, as `decode` does."""
    try:
        return msgspec.convert(_normalise(raw, kind), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidArgument(f"invalid request body: {error}") from error


def encode(value: object) -> bytes:
    """Encode a wire type, or a container of them."""
    return msgspec.json.encode(to_builtins(value))


def to_builtins(value: object) -> Any:  # noqa: ANN401  # JSON is untyped
    """Return plain JSON values, with empty optional members left out."""
    if isinstance(value, Wire):
        kind = type(value)
        members = {
            field.encode_name: to_builtins(getattr(value, field.name)) for field in _fields(kind)
        }
        for name, encoded, is_pointer in _omittable(kind):
            if _is_empty(getattr(value, name), is_pointer=is_pointer):
                del members[encoded]
        return members
    if isinstance(value, dict):
        return {key: to_builtins(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_builtins(item) for item in value]
    return value


def _is_empty(value: object, *, is_pointer: bool) -> bool:
    """Tell what Go leaves out: of pointers only nil, else what is zero or has no elements."""
    return not value and (not is_pointer or value is None or isinstance(value, list | dict))


@functools.cache
def _omittable(kind: type[Wire]) -> tuple[tuple[str, str, bool], ...]:
    """Return name, name on the wire, and whether Go has a pointer there."""
    return tuple(
        (field.name, field.encode_name, field.default is None)
        for field in _fields(kind)
        if field.encode_name in kind.omit_empty
    )


@functools.cache
def _fields(kind: type[Wire]) -> tuple[msgspec.structs.FieldInfo, ...]:
    fields = msgspec.structs.fields(kind)
    if not kind.base_after:
        return fields
    base = len(msgspec.structs.fields(kind.__mro__[1]))
    names = [field.encode_name for field in fields]
    place = names.index(kind.base_after) + 1
    return (*fields[base:place], *fields[:base], *fields[place:])


@functools.cache
def _members(kind: type[Wire]) -> dict[str, tuple[str, Any]]:
    return {field.encode_name.lower(): (field.encode_name, field.type) for field in _fields(kind)}


def _normalise(raw: Any, kind: Any) -> Any:  # noqa: ANN401  # walks untyped JSON by type
    """Give keys the spelling of `kind` and drop nulls, so that conversion can be strict."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _normalise_union(raw, kind)
    if isinstance(raw, dict):
        if isinstance(kind, type) and issubclass(kind, Wire):
            known = _members(kind)
            return {
                known[key.lower()][0]: _normalise(item, known[key.lower()][1])
                for key, item in raw.items()
                if item is not None and key.lower() in known
            }
        if origin is dict:
            value_kind = typing.get_args(kind)[1]
            return {key: _normalise(item, value_kind) for key, item in raw.items()}
    if isinstance(raw, list) and origin in (list, tuple):
        item_kind = typing.get_args(kind)[0]
        return [_normalise(item, item_kind) for item in raw]
    return raw


def _normalise_union(raw: Any, kind: Any) -> Any:  # noqa: ANN401  # walks untyped JSON by type
    if raw is None:
        return None
    wanted: tuple[type, ...] = (dict, Wire) if isinstance(raw, dict) else (list, tuple)
    if not isinstance(raw, dict | list):
        return raw
    for option in typing.get_args(kind):
        shape = typing.get_origin(option) or option
        if isinstance(shape, type) and issubclass(shape, wanted):
            return _normalise(raw, option)
    return raw
