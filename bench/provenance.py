"""What a number came from: code, packages, machine. Code is known by a hash of its syntax trees, so that an edit to a
comment or docstring keeps results valid and any edit to the arithmetic makes them due again."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
# Names, lookup and error texts: they choose what runs, never what a number is.
_NEUTRAL = {"bench", "bench.errors", "bench.cards", "bench.weights", "bench.metrics", "bench.adapters", "bench.data",
            "bench.models", "bench.provenance", "bench.store"}  # fmt: skip


@cache
def code_version(module: str) -> str:
    """Hash (16 hex digits) of `module` and of all of bench that it imports, comments and docstrings apart."""
    digest = hashlib.sha256()
    for name in sorted(_reach(module)):
        digest.update(name.encode() + _tree_digest(name))
    return digest.hexdigest()[:16]


def _reach(module: str) -> set[str]:
    seen: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        if name in seen or (name in _NEUTRAL and name != module) or _source(name) is None:
            continue
        seen.add(name)
        queue.extend(_imports(name))
    return seen


@cache
def _source(module: str) -> Path | None:
    """The module's file, without importing it (importing a parent package could load torch)."""
    first, *rest = module.split(".")
    if first == "bench":
        base = PACKAGE.joinpath(*rest)
        return next((p for p in (base / "__init__.py", base.with_suffix(".py")) if p.is_file()), None)
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


@cache
def _tree(module: str) -> ast.Module:
    path = _source(module)
    assert path is not None
    return ast.parse(path.read_bytes())


@cache
def _tree_digest(module: str) -> bytes:
    tree = _tree(module)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, False
        ):
            node.body[0] = ast.Pass()
    return hashlib.sha256(ast.dump(tree).encode()).digest()


def _imports(module: str) -> list[str]:
    found: list[str] = []
    path = _source(module)
    assert path is not None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("bench.")]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            if base == "bench" or base.startswith("bench."):
                found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found


@cache
def package_version(name: str) -> str:
    """Installed version, or "absent"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def package_versions(names: Iterable[str]) -> dict[str, str]:
    return {name: package_version(name) for name in sorted(set(names))}


@cache
def git_commit() -> str:
    """Commit of the checkout, with "+dirty" when files differ; "unknown" outside git."""

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *words], capture_output=True, text=True, check=True
        ).stdout

    try:
        commit = ask("rev-parse", "--short=12", "HEAD").strip()
        return commit + (
            "+dirty" if ask("status", "--porcelain", "--untracked-files=no", "--", "bench", "codecs").strip() else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


@cache
def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the platform's own word is good enough
    return platform.processor() or platform.machine()


def machine(device: str = "cpu") -> dict[str, Any]:
    """Where a run took place: CPU, cores, device, Python."""
    facts: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "device": device,
        "python": platform.python_version(),
    }
    if device.startswith("cuda"):
        import torch

        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
