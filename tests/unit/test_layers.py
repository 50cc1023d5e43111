"""Imports between packages only go down the layers of ARCHITECTURE.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tiffin"

LAYERS: list[set[str]] = [
    {"errors", "spec", "api", "wire"},
    {"linux", "fs"},
    {
        "state",
        "content",
        "snapshots",
        "layers",
        "registry",
        "networks",
        "volumes",
        "logs",
        "runtime",
    },
    {"images", "build", "shim"},
    {"engine", "oci"},
    {"server", "distribution"},
    {"daemon"},
]
SAME_LAYER = {("build", "images"), ("spec", "errors"), ("api", "errors"), ("api", "spec"),
              ("wire", "errors"), ("wire", "spec"), ("fs", "linux")}  # fmt: skip
CLIENTS = {"client": {"errors", "spec", "api", "wire"},
           "cli": {"errors", "spec", "api", "wire", "client"}}  # fmt: skip
# `tiffin registry serve` is a server in the client's executable: it is imported when it runs, not before.
LATE = {("cli", "distribution")}
STANDARD_LIBRARY_ONLY = {
    "linux",
    "fs",
    "runtime",
    "shim",
    "oci",
    "logs",
    "wire",
    "spec",
    "client",
    "cli",
}
THIRD_PARTY = {"aiohttp", "msgspec", "isal", "zstandard", "yarl", "multidict"}


def allowed(package: str) -> set[str]:
    if package in CLIENTS:
        return CLIENTS[package]
    if package == "testing":
        return set().union(*LAYERS)
    level = next(i for i, layer in enumerate(LAYERS) if package in layer)
    below: set[str] = set().union(*LAYERS[:level])
    return below | {to for origin, to in SAME_LAYER if origin == package}


def imports(path: Path, *, late: bool = True) -> set[str]:
    found: set[str] = set()
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree) if late else _at_import(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "tiffin":
                found.update(f"tiffin.{alias.name}" for alias in node.names)
    return found


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when the module is imported: no functions' bodies, nothing for types only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _at_import(child)


MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    package = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tiffin" and len(parts) > 1 and parts[1] not in (package, "__version__"):
            assert package != "__init__", "the package root imports nothing"
            if (package, parts[1]) in LATE:
                assert name not in imports(path, late=False), f"{path}: {name} comes too early"
                continue
            assert parts[1] in allowed(package), f"{path}: {package} must not import {name}"
        if parts[0] in THIRD_PARTY:
            assert package not in STANDARD_LIBRARY_ONLY, f"{path}: {package} uses only the stdlib"


def test_every_package_has_a_layer() -> None:
    known = set().union(*LAYERS) | set(CLIENTS) | {"testing", "__init__"}
    assert {p.relative_to(SOURCE).parts[0].removesuffix(".py") for p in MODULES} <= known
