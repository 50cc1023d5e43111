"""The part of Go's text/template that `--format` and the tags of logs use.

Fields and map keys (`.State.Status`, `index .Labels "a"`), pipelines, `if`/`else`/`with`/`range`/`end`,
variables, comments, trim markers, and Docker's functions: json, join, split, lower, upper, title,
pad, truncate, println, printf, len, index, slice, and, or, not, eq, ne, lt, le, gt, ge, table.
"""

import json as _json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiffin.wire.gotypes import Absent, GoMap, optional
from tiffin.wire.template_error import MalformedTemplate, TemplateError

__all__ = ["MalformedTemplate", "Template", "TemplateError", "show", "to_json"]


_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<char>'(?:\\.|[^'\\])')|(?P<number>-?\d+(?:\.\d+)?)
    |(?P<field>(?:\.[A-Za-z_][\w]*)+)|(?P<dot>\.)|(?P<variable>\$\w*(?:\.\w+)*)
    |(?P<assign>:=|=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\)(?P<after>(?:\.\w+)*))|(?P<comma>,)
    |(?P<word>[A-Za-z_]\w*))""",
    re.VERBOSE,
)

CONSTANTS = {"true": True, "false": False, "nil": None}

Scope = dict[str, Any]
Token = tuple[str, str]


class Template:
    """A parsed template; `render` gives its text for one object."""

    def __init__(
        self, source: str, functions: Mapping[str, Callable[..., Any]] | None = None
    ) -> None:
        self._nodes = _parse(source)
        self._functions = functions or {}

    def render(self, data: object) -> str:
        """Return the text for `data`; TemplateError if a field is missing."""
        out: list[str] = []
        _run(self._nodes, data, {"$": data, **self._functions}, out)
        return "".join(out)


class _Node:
    """An action with its bodies: text, output, if, with, range, define."""

    def __init__(self, kind: str, tokens: list[Token], text: str = "") -> None:
        self.kind, self.tokens, self.text = kind, tokens, text
        self.body: list[_Node] = []
        self.otherwise: list[_Node] = []


def _parse(source: str) -> list[_Node]:
    root = _Node("root", [])
    stack: list[tuple[_Node, list[_Node]]] = [(root, root.body)]
    for kind, text in _split(source):
        if kind == "text":
            stack[-1][1].append(_Node("text", [], text))
            continue
        _action(text, stack)
    if len(stack) != 1:
        raise MalformedTemplate("template: :1: unexpected EOF")
    return root.body


def _split(source: str) -> list[Token]:
    pieces: list[Token] = []
    position, trim = 0, False
    for match in _ACTION.finditer(source):
        text = source[position : match.start()]
        text = text.lstrip() if trim else text
        pieces.append(("text", text.rstrip() if match[1] else text))
        pieces.append(("action", match[2].strip()))
        position, trim = match.end(), bool(match[3])
    rest = source[position:]
    if "{{" in rest:
        raise MalformedTemplate("template: :1: unclosed action")
    return [*pieces, ("text", rest.lstrip() if trim else rest)]


def _action(text: str, stack: list[tuple[_Node, list[_Node]]]) -> None:
    if text.startswith("/*"):
        return
    word, _, rest = text.partition(" ")
    if word in ("if", "with", "range"):
        if not rest.strip():
            raise MalformedTemplate(f"template: :1: missing value for {word}")
        node = _Node(word, _tokens(rest))
        stack[-1][1].append(node)
        stack.append((node, node.body))
    elif word == "else":
        if len(stack) == 1:
            raise MalformedTemplate("template: :1: unexpected {{else}}")
        node = stack.pop()[0]
        stack.append((node, node.otherwise))
        if rest.startswith("if"):
            nested = _Node("if", _tokens(rest[2:]))
            nested.text = "else-if"
            node.otherwise.append(nested)
            stack[-1] = (nested, nested.body)
            nested.otherwise = []
    elif word == "end":
        if len(stack) == 1:
            raise MalformedTemplate("template: :1: unexpected {{end}}")
        stack.pop()
    else:
        tokens = _tokens(text)
        if not tokens:
            raise MalformedTemplate("template: :1: missing value for command")
        _check_functions(tokens)
        stack[-1][1].append(_Node("output", tokens))


def _check_functions(tokens: list[Token]) -> None:
    for kind, text in tokens:
        if kind == "word" and text not in FUNCTIONS and text not in CONSTANTS:
            raise MalformedTemplate(f'template: :1: function "{text}" not defined')


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise MalformedTemplate(f"template: :1: unexpected {text[position:]!r} in command")
        kind = match.lastgroup or ""
        if kind == "after":
            kind = "close"
        tokens.append((kind, match.group(kind)))
        position = match.end()
    return tokens


def _run(nodes: list[_Node], dot: object, scope: Scope, out: list[str]) -> None:
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


def _range(node: _Node, dot: object, scope: Scope, out: list[str]) -> None:
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


def truth(value: object) -> bool:
    """Go's notion of an empty value."""
    return bool(value)


def show(value: Any) -> str:  # noqa: ANN401
    """Print a value as Go's fmt does with %v."""
    if value is None:
        return "<no value>"
    if value is True or value is False:
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        if not isinstance(value, GoMap):
            return "{" + " ".join(show(item) for item in value.values()) + "}"
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence):
        return "[" + " ".join(show(item) for item in value) + "]"
    return str(value)


def to_json(value: object) -> str:
    """Encode as Go's encoding/json does, keys of maps in order."""
    text = _json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return escape_html(text)


def _plain(value: object) -> object:
    plain = getattr(value, "template_json", None)
    return plain() if plain else None


def escape_html(text: str) -> str:
    """Escape what Go's encoder escapes in strings, so that JSON is safe inside HTML."""
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _index(value: Any, *keys: Any) -> Any:  # noqa: ANN401
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif value is None:
            raise ValueError("index of untyped nil")
        else:
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
    return value


_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?([vdsqxXtfgeTc%])")


def _printf(pattern: str, *values: Any) -> str:  # noqa: ANN401
    left = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        dot = f".{precision}" if precision else ""
        if verb in "vst":
            text = show(value)
            text = text[: int(precision)] if precision and verb == "s" else text
            return ("%" + flags.replace("0", "") + width + "s") % text
        if verb == "q":
            return _json.dumps(show(value), ensure_ascii=False)
        if verb == "c":
            return chr(value)
        return str(("%" + flags + width + dot + verb) % value)

    return _VERB.sub(replace, pattern)


def _compare(check: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    return lambda first, *others: any(check(first, other) for other in others)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "join": lambda items, separator: separator.join(show(item) for item in items or []),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "truncate": lambda text, length: text[:length],
    "println": lambda *values: " ".join(show(value) for value in values) + "\n",
    "print": lambda *values: "".join(show(value) for value in values),
    "printf": _printf,
    "len": lambda value: len(value or ()),
    "index": _index,
    "slice": lambda value, start=0, end=None: value[start:end],
    "not": lambda value: not truth(value),
    "and": lambda *values: next((v for v in values if not truth(v)), values[-1]),
    "or": lambda *values: next((v for v in values if truth(v)), values[-1]),
    "eq": _compare(lambda a, b: a == b),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "urlquery": lambda text: text,
    "html": lambda text: text,
    "js": lambda text: text,
}
