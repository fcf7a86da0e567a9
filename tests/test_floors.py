"""Imports only go down. The house stands in docs/concepts.md; this is its plan."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ogive"

FLOORS = {
    "_blas": 0,
    "_doors": 0,
    "_whole": 0,
    "errors": 0,
    "text": 0,
    "space": 1,
    "trial": 1,
    "task": 1,
    "strategies": 2,
    "journal": 2,
    "nn": 2,
    "spaces": 3,
    "estimators": 3,
    "hardware": 3,
    "oneshot": 3,
    "bundle": 3,
    "report": 3,
    "progress": 3,
    "bench": 4,
    "executors": 4,
    "engine": 4,
    "cli": 5,
    "testing": 6,
}

SIDEWAYS = {
    ("trial", "space"),  # its records hold architectures
    ("oneshot", "estimators"),  # what it trains is asked as one, and trained as one
    ("estimators", "hardware"),  # parameters and operations are zero-cost proxies, too
    ("bench", "executors"),  # seeds are run side by side
    ("engine", "executors"),  # the loop starts its own workers by default
}

FACADES = {"__init__", "__main__"}
"""``ogive`` itself names what stands below; its version is free for all."""

PLAIN = SOURCE / "bundle" / "scripts"
"""Scripts that travel with a bundle are no part of the package."""


def part_of(path):
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def files():
    return [path for path in SOURCE.rglob("*.py") if PLAIN not in path.parents]


def imports(source):
    """Yields the parts of ogive that a module imports, and whether it hides that in a function."""
    tree = ast.parse(source)
    functions = (
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    hidden = {id(inner) for function in functions for inner in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "ogive":
            names = [f"ogive.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            if name.startswith("ogive."):
                yield name.split(".")[1], id(node) in hidden


def test_imports_are_seen_wherever_they_stand():
    source = """
import ogive.space
from ogive import text, trial
if TYPE_CHECKING:
    from ogive.nn._record import record
class C:
    def f(self):
        if self:
            from ogive.engine import search
import torch
"""
    assert list(imports(source)) == [
        ("space", False), ("text", False), ("trial", False), ("nn", False), ("engine", True),
    ]  # fmt: skip


def test_every_part_has_a_floor():
    assert {part_of(path) for path in files()} - FACADES == set(FLOORS)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_go_down(path):
    part = part_of(path)
    if part in FACADES:
        return
    for imported, hidden in imports(path.read_text()):
        if imported == "__version__":
            continue
        assert not hidden, f"{path} hides an import of ogive.{imported} in a function"
        allowed = (
            imported == part or FLOORS[imported] < FLOORS[part] or (part, imported) in SIDEWAYS
        )
        assert allowed, (
            f"{path}: {part} (F{FLOORS[part]}) imports {imported} (F{FLOORS[imported]})"
        )


@pytest.mark.parametrize(
    ("part", "forbidden"),
    [("space", "torch"), ("trial", "torch"), ("strategies", "torch"), ("journal", "torch")],
)
def test_what_needs_no_torch_does_not_import_it(part, forbidden):
    for path in files():
        if part_of(path) != part:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert all(alias.name.split(".")[0] != forbidden for alias in node.names), path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] != forbidden, path
