"""The house rules that code can break: arrows between and inside rooms, one owner of the device, no grab bags."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("play", "training", "diamond_engine", "weights")
ALLOWED = {
    "play": {"play", "diamond_engine", "weights"},
    "training": {"training", "diamond_engine", "weights"},
    "diamond_engine": {"diamond_engine", "weights"},
    "weights": {"weights"},
}
"""What a room may import of the house; arrows go down."""
INSIDE = {
    "training": {
        "entry": set(),
        "cli": {"algorithm", "components", "data", "first_person", "recorders", "runs", "suite"},
        "suite": {"algorithm", "evaluation", "runs", "entry"},
        "algorithm": {"components", "data", "evaluation", "runs"},
        "evaluation": {"first_person", "data", "runs"},
        "first_person": {"components", "data", "runs"},
        "components": {"data", "runs"},
        "recorders": {"runs"},
        "data": {"runs"},
        "runs": set(),
    },
    "training.evaluation": {
        "cli": {"commands"},
        "commands": {
            "reports",
            "comparison",
            "play",
            "response",
            "right_way",
            "drift",
            "fidelity",
            "scores",
            "inspection",
            "held_out",
            "dreams",
        },
        "reports": {"comparison", "play", "response", "right_way", "drift", "fidelity", "scores", "inspection"}
        | {"dreams", "metrics"},
        "comparison": {"play", "fidelity", "dreams", "metrics"},
        "play": {"fidelity", "scores", "held_out", "dreams", "metrics"},
        "response": {"fidelity", "dreams", "metrics"},
        "right_way": {"held_out", "dreams", "metrics"},
        "drift": {"held_out", "dreams", "metrics"},
        "fidelity": {"dreams", "metrics"},
        "scores": set(),
        "inspection": set(),
        "held_out": set(),
        "dreams": {"metrics"},
        "metrics": set(),
    },
    "diamond_engine.runtime": {
        "kernel_swap": {"owner", "devices", "cpu"},
        "owner": {"devices", "cpu", "frames", "rewrites"},
        "devices": {"cpu"},
        "cpu": {"frames", "rewrites"},
        "diffusion_step": {"frame_step", "frames"},
        "token_step": {"frame_step"},
        "frame_step": set(),
        "frames": set(),
        "rewrites": set(),
        "threads": set(),
    },
}
"""What the rooms inside a room may import of each other; arrows go down here, too."""
MODULES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def parse(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def imported(module: Path, *, for_types: bool = True) -> Iterator[str]:
    """Full names of all that a module imports, at its top or inside its functions."""
    tree = parse(module)
    passed_over = set() if for_types else annotations_alone(tree)
    for node in ast.walk(tree):
        if node in passed_over:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def annotations_alone(tree: ast.Module) -> set[ast.AST]:
    """All that stands under ``if TYPE_CHECKING``."""
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {node for block in blocks for statement in block.body for node in ast.walk(statement)}


def inside(package: str, *, for_types: bool) -> dict[str, set[str]]:
    """The modules and packages right inside a package, each with those of its kind that it imports.

    ``for_types``: also what is imported for annotations alone.
    """
    folder, depth = Path(*package.split(".")), package.count(".") + 1
    modules = [module for module in MODULES if module.is_relative_to(folder) and module != folder / "__init__.py"]
    arrows: dict[str, set[str]] = {module.with_suffix("").parts[depth]: set() for module in modules}
    for module in modules:
        room = module.with_suffix("").parts[depth]
        names = (name.split(".") for name in imported(module, for_types=for_types) if within(name, {package}))
        arrows[room] |= {name[depth] for name in names if len(name) > depth} & (arrows.keys() - {room})
    return arrows


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


@pytest.mark.parametrize("package", INSIDE)
def test_arrows_inside_a_room_go_down(package: str) -> None:
    arrows = inside(package, for_types=True)
    assert arrows.keys() == INSIDE[package].keys()
    for room, allowed in INSIDE[package].items():
        wrong = arrows[room] - allowed
        assert not wrong, f"{package}.{room} imports {', '.join(wrong)}"


@pytest.mark.parametrize("package", sorted({".".join(module.parent.parts) for module in MODULES}))
def test_there_are_no_circles(package: str) -> None:
    """What is imported for annotations alone is no arrow: it is not there when the program runs."""
    assert circle(inside(package, for_types=False)) == []


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Rooms that import each other in turn, the first again at the end; empty where there are none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return error.args[1]
    return []


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
