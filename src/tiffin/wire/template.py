"""The part of Go's text/template that `--format` and the tags of logs use.

Fields and map keys (`.State.Status`, `index .Labels "a"`), pipelines, `if`/`else`/`with`/`range`/`end`,
variables, comments, trim markers, and Docker's functions: json, join, split, lower, upper, title,
pad, truncate, println, printf, len, index, slice, and, or, not, eq, ne, lt, le, gt, ge, table.
"""

import json as _json
from collections.abc import Callable, Mapping
from typing import Any

from tiffin.wire.gotypes import Absent, GoMap, optional
from tiffin.wire.template_error import MalformedTemplate, TemplateError
from tiffin.wire.template_functions import FUNCTIONS, show, to_json, truth
from tiffin.wire.template_parse import CONSTANTS, Node, Token, parse

__all__ = ["MalformedTemplate", "Template", "TemplateError", "show", "to_json"]
Scope = dict[str, Any]


class Template:
    """A parsed template; `render` gives its text for one object."""

    def __init__(
        self, source: str, functions: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        self._nodes = parse(source)
        self._functions = functions or {}

    def render(self, data: object) -> str:
        """Return the text for `data`; TemplateError if a field is missing."""
        out: list[str] = []
        _run(self._nodes, data, {"$": data, **self._functions}, out)
        return "".join(out)


def _run(nodes: list[Node], dot: object, scope: Scope, out: list[str]) -> None:
    for node in nodes:
        if node.kind == "text":
            out.append(node.text)
        elif node.kind == "output":
            name, tokens = _assignment(node.tokens)
            value = _pipeline(tokens, dot, scope)
            if name:
                scope[name] = value
            else:
                out.append(show(value))
        elif node.kind == "range":
            _range(node, dot, scope, out)
        else:
            name, tokens = _assignment(node.tokens)
            value = _pipeline(tokens, dot, scope)
            inner = {**scope, name: value} if name else scope
            chosen = node.body if truth(value) else node.otherwise
            in_body = truth(value) and node.kind == "with"
            _run(chosen, value if in_body else dot, inner, out)


def _range(node: Node, dot: object, scope: Scope, out: list[str]) -> None:
    names: list[str] = []
    tokens = node.tokens
    if any(kind == "assign" for kind, _ in tokens):
        at = next(i for i, (kind, _) in enumerate(tokens) if kind == "assign")
        names = [text for kind, text in tokens[:at] if kind == "variable"]
        tokens = tokens[at + 1 :]
    value = _pipeline(tokens, dot, scope)
    items: list[tuple[Any, Any]]
    if isinstance(value, Mapping):
        items = sorted(value.items())
    else:
        items = list(enumerate(value or []))
    if not items:
        _run(node.otherwise, dot, scope, out)
    for key, item in items:
        inner = dict(scope)
        if len(names) == 1:
            inner[names[0]] = item
        elif len(names) == 2:
            inner[names[0]], inner[names[1]] = key, item
        _run(node.body, item, inner, out)


def _assignment(tokens: list[Token]) -> tuple[str, list[Token]]:
    if len(tokens) > 2 and tokens[0][0] == "variable" and tokens[1][0] == "assign":
        return tokens[0][1], tokens[2:]
    return "", tokens


def _pipeline(tokens: list[Token], dot: object, scope: Scope) -> Any:  # noqa: ANN401
    stages: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token[0] == "open") - (token[0] == "close")
        if token[0] == "pipe" and depth == 0:
            stages.append([])
        else:
            stages[-1].append(token)
    piped: list[Any] = []
    for stage in stages:
        piped = [_command(stage, dot, scope, piped)]
    return piped[0]


def _command(tokens: list[Token], dot: object, scope: Scope, piped: list[Any]) -> Any:  # noqa: ANN401
    if not tokens:
        raise TemplateError("template: :1: missing value for command")
    kind, text = tokens[0]
    if kind == "word" and text not in CONSTANTS:
        function = scope.get(text) or FUNCTIONS.get(text)
        if function is None:
            raise TemplateError(f'template: :1: function "{text}" not defined')
        try:
            return function(*_operands(tokens[1:], dot, scope), *piped)
        except (TypeError, IndexError, KeyError, ValueError) as error:
            raise TemplateError(f"template: :1: error calling {text}: {error}") from error
    first, *arguments = _operands(tokens, dot, scope)
    if callable(first):
        return first(*arguments, *piped)
    return first


def _operands(tokens: list[Token], dot: object, scope: Scope) -> list[Any]:
    values: list[Any] = []
    position = 0
    while position < len(tokens):
        kind, text = tokens[position]
        if kind == "open":
            end = _closing(tokens, position)
            value = _pipeline(tokens[position + 1 : end], dot, scope)
            for name in tokens[end][1][1:].split(".")[1:]:
                value = field(value, name)
            values.append(value)
            position = end
        else:
            values.append(_operand(kind, text, dot, scope))
        position += 1
    return values


def _closing(tokens: list[Token], start: int) -> int:
    depth = 0
    for position in range(start, len(tokens)):
        depth += (tokens[position][0] == "open") - (tokens[position][0] == "close")
        if depth == 0:
            return position
    raise TemplateError("template: :1: unclosed left paren")


def _operand(kind: str, text: str, dot: object, scope: Scope) -> Any:  # noqa: ANN401
    if kind == "string":
        return text[1:-1] if text[0] == "`" else _json.loads(text)
    if kind == "char":
        return ord(text[1:-1].encode().decode("unicode_escape"))
    if kind == "number":
        return float(text) if "." in text else int(text)
    if kind == "dot":
        return dot
    if kind == "word":
        return CONSTANTS[text]
    if kind == "variable":
        name, *path = text.split(".")
        if name not in scope:
            raise TemplateError(f'template: :1: undefined variable "{name}"')
        value = scope[name]
    elif kind == "field":
        value, path = dot, text[1:].split(".")
    else:
        raise TemplateError(f"template: :1: unexpected {text!r} in operand")
    for name in path:
        value = field(value, name)
    return value


def field(value: Any, name: str) -> Any:  # noqa: ANN401
    """Return a member of an object: a mapping key or an attribute-like method of a row."""
    lookup = getattr(value, "template_field", None)
    if lookup is not None:
        return lookup(name)
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        if isinstance(value, GoMap):
            return None
        known, empty = optional(name)
        if known:
            return empty
        raise TemplateError(
            f'template: :1:2: executing "" at <.{name}>: map has no entry for key "{name}"'
        )
    if isinstance(value, Absent) and value.text == "map[]":
        return None
    raise TemplateError(f'template: :1:2: executing "" at <.{name}>: can\'t evaluate field {name}')
