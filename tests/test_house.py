"""The house rules that code can break: arrows between rooms, one owner of the device, no grab bags, no silence."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("play", "training", "diamond_engine", "weights")
ALLOWED = {
    "play": {"play", "diamond_engine", "weights"},
    "training": {"training", "diamond_engine", "weights"},
    "diamond_engine": {"diamond_engine", "weights"},
    "weights": {"weights", "diamond_engine.errors", "diamond_engine.files"},
}
"""What a room may import of the house; arrows go down. Weights shares the library's errors and atomic writes."""
MODULES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parse(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imported(module: Path) -> Iterator[str]:
    """Full names of all modules that a module imports, at its top or inside its functions."""
    for node in ast.walk(parse(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            names = [alias.name for alias in node.names]
            yield from (f"{node.module}.{name}" for name in names) if node.module in ROOMS else [f"{node.module}"]


def within(name: str, allowed: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in allowed)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_rooms_go_down(room: str) -> None:
    modules = [module for module in MODULES if module.parts[0] == room]
    assert modules
    for module in modules:
        house = {name for name in imported(module) if within(name, set(ROOMS))}
        wrong = {name for name in house if not within(name, ALLOWED[room])}
        assert not wrong, f"{module} imports {', '.join(wrong)}"


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of all nodes that only document: strings that stand as statements."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def names_cuda(module: Path) -> bool:
    """Whether code says ``cuda``: in a string that is used, a name, an attribute, an import or a parameter."""
    tree = parse(module)
    documentation = docstrings(tree)
    used = (node for node in ast.walk(tree) if id(node) not in documentation)
    texts = (getattr(node, field, None) for node in used for field in ("value", "id", "attr", "name", "arg", "module"))
    return any(isinstance(text, str) and "cuda" in text.lower() for text in texts)


def test_cuda_is_named_in_one_file() -> None:
    assert [module.as_posix() for module in MODULES if names_cuda(module)] == ["diamond_engine/runtime/devices.py"]


def test_there_are_no_utils() -> None:
    names = {part.removesuffix(".py") for module in MODULES for part in module.parts}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public functions, classes and methods without a docstring; a network's class documents its ``forward``."""

    def visit(node: Documented, name: str) -> Iterator[str]:
        if not ast.get_docstring(node):
            yield name or "module"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return
        for child in node.body:
            if isinstance(child, Documented) and not child.name.startswith("_") and child.name != "forward":
                yield from visit(child, f"{name}.{child.name}".lstrip("."))

    yield from visit(tree, "")


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "diamond_engine"], ids=str)
def test_the_library_documents_what_is_public(module: Path) -> None:
    assert not list(undocumented(parse(module)))
