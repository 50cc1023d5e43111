"""From the text of a template to its nodes and tokens."""

import re

from tiffin.wire.template_error import MalformedTemplate
from tiffin.wire.template_functions import FUNCTIONS

_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<char>'(?:\\.|[^'\\])')|(?P<number>-?\d+(?:\.\d+)?)
    |(?P<field>(?:\.[A-Za-z_][\w]*)+)|(?P<dot>\.)|(?P<variable>\$\w*(?:\.\w+)*)
    |(?P<assign>:=|=)|(?P<pipe>\|)|(?P<open>\()|(?P<close>\)(?P<after>(?:\.\w+)*))|(?P<comma>,)
    |(?P<word>[A-Za-z_]\w*))""",
    re.VERBOSE,
)
CONSTANTS = {"true": True, "false": False, "nil": None}
Token = tuple[str, str]


class Node:
    """An action with its bodies: text, output, if, with, range, define."""

    def __init__(self, kind: str, tokens: list[Token], text: str = "") -> None:
        self.kind, self.tokens, self.text = kind, tokens, text
        self.body: list[Node] = []
        self.otherwise: list[Node] = []


def parse(source: str) -> list[Node]:
    """Return the nodes of a template; MalformedTemplate."""
    root = Node("root", [])
    stack: list[tuple[Node, list[Node]]] = [(root, root.body)]
    for kind, text in _split(source):
        if kind == "text":
            stack[-1][1].append(Node("text", [], text))
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


def _action(text: str, stack: list[tuple[Node, list[Node]]]) -> None:
    if text.startswith("/*"):
        return
    word, _, rest = text.partition(" ")
    if word in ("if", "with", "range"):
        if not rest.strip():
            raise MalformedTemplate(f"template: :1: missing value for {word}")
        node = Node(word, _tokens(rest))
        stack[-1][1].append(node)
        stack.append((node, node.body))
    elif word == "else":
        if len(stack) == 1:
            raise MalformedTemplate("template: :1: unexpected {{else}}")
        node = stack.pop()[0]
        stack.append((node, node.otherwise))
        if rest.startswith("if"):
            nested = Node("if", _tokens(rest[2:]))
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
        stack[-1][1].append(Node("output", tokens))


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
