"""The house as it is told: every public name of bench/ has a docstring, and CONTRIBUTING's floors are pyproject's."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


WORKERS = ROOT / "bench" / "foreign" / "workers"
"""Twenty lines each, all of one contract (the docstring of bench/foreign/serve.py): they are left out."""


@cache
def modules() -> dict[Path, ast.Module]:
    paths = (path for path in sorted((ROOT / "bench").rglob("*.py")) if path.parent != WORKERS)
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


@cache
def classes() -> dict[str, list[ast.ClassDef]]:
    found: dict[str, list[ast.ClassDef]] = {}
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


def bases(node: ast.ClassDef) -> list[ast.ClassDef]:
    """All classes of bench that `node` derives from, found by their names."""
    queue = [node]
    for one in queue:
        for base in one.bases:
            base = base.value if isinstance(base, ast.Subscript) else base
            name = base.id if isinstance(base, ast.Name) else base.attr if isinstance(base, ast.Attribute) else ""
            queue += [other for other in classes().get(name, []) if other not in queue]
    return queue[1:]


def tells(node: ast.ClassDef, method: str) -> bool:
    """Whether the class documents the method itself, or, for `forward`, gives its shapes in its own docstring."""
    if method == "forward" and "[" in (ast.get_docstring(node) or ""):
        return True
    return any(isinstance(one, Named) and one.name == method and ast.get_docstring(one) for one in node.body)


def undocumented(body: list[ast.stmt], owner: ast.ClassDef | None = None) -> Iterator[str]:
    for node in body:
        if not isinstance(node, Named) or node.name.startswith("_"):
            continue
        told = bool(ast.get_docstring(node))
        if not told and owner is not None:
            # A method that fulfils a documented contract is told there.
            told = any(tells(one, node.name) for one in (owner, *bases(owner)))
        if not told:
            yield f"{owner.name}.{node.name}" if owner else node.name
        if isinstance(node, ast.ClassDef):
            yield from undocumented(node.body, node)


def test_every_public_name_has_a_docstring() -> None:
    missing = [f"{path.relative_to(ROOT)}: {name}" for path, tree in modules().items() for name in undocumented(tree.body)]
    missing += [str(path.relative_to(ROOT)) for path, tree in modules().items() if tree.body and not ast.get_docstring(tree)]
    assert not missing, "\n".join(missing)


def test_a_name_without_a_docstring_is_found() -> None:
    tree = ast.parse('class Free:\n    """Told."""\n    def step(self): ...\n    def _own(self): ...\ndef bare(): ...\n')
    assert list(undocumented(tree.body)) == ["Free.step", "bare"]


def test_contributing_tells_the_floors_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    held = [{name.strip().split(".")[1] for name in layer.split(":")} for layer in layers]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"```\n(cli .*?)```", text, re.DOTALL)
    assert block
    told = [set(re.split(r" {3,}", line)[0].split()) for line in block.group(1).splitlines()]
    assert [names - floor for floor, names in zip(held, told, strict=True)] == [set()] * len(held)
