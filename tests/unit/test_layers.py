"""Imports between packages only go down the layers of ARCHITECTURE.md."""

import ast
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
    {"engine"},
    {"server"},
    {"daemon"},
]
SAME_LAYER = {("build", "images"), ("spec", "errors"), ("api", "errors"), ("api", "spec"),
              ("wire", "errors"), ("wire", "spec"), ("fs", "linux")}  # fmt: skip
CLIENTS = {"client": {"errors", "spec", "api", "wire"},
           "cli": {"errors", "spec", "api", "wire", "client"}}  # fmt: skip
STANDARD_LIBRARY_ONLY = {"linux", "fs", "runtime", "shim", "logs", "wire", "spec", "client", "cli"}
THIRD_PARTY = {"aiohttp", "msgspec", "isal", "zstandard", "yarl", "multidict"}


def allowed(package: str) -> set[str]:
    if package in CLIENTS:
        return CLIENTS[package]
    if package == "testing":
        return set().union(*LAYERS)
    level = next(i for i, layer in enumerate(LAYERS) if package in layer)
    below: set[str] = set().union(*LAYERS[:level])
    return below | {to for origin, to in SAME_LAYER if origin == package}


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "tiffin":
                found.update(f"tiffin.{alias.name}" for alias in node.names)
    return found


MODULES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down(path: Path) -> None:
    package = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tiffin" and len(parts) > 1 and parts[1] not in (package, "__version__"):
            assert package != "__init__", "the package root imports nothing"
            assert parts[1] in allowed(package), f"{path}: {package} must not import {name}"
        if parts[0] in THIRD_PARTY:
            assert package not in STANDARD_LIBRARY_ONLY, f"{path}: {package} uses only the stdlib"


def test_every_package_has_a_layer() -> None:
    known = set().union(*LAYERS) | set(CLIENTS) | {"testing", "__init__"}
    assert {p.relative_to(SOURCE).parts[0].removesuffix(".py") for p in MODULES} <= known
