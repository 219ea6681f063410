"""The hash of the code that a definition reaches: evidence that nothing changed, never part of a key.

From the definition's own names, every function, class and constant of the package that they mention is followed,
through imports and across modules. Each is reduced to what it does: comments, docstrings and annotations of functions
are left out, local variables are numbered, and what is referred to goes by its own name wherever it lives. So a
renamed local variable, a function that moved and one that nobody calls leave the hash as it is, and so does the Python
version. Names, look-up and error texts choose what runs, never what a number is: their modules are not followed.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.errors import BenchError

PACKAGE = Path(__file__).resolve().parent.parent
NAME = "bench"
NEUTRAL = {
    "bench", "bench.adapters", "bench.cards", "bench.content", "bench.data", "bench.definitions", "bench.engine.keys",
    "bench.errors", "bench.guard", "bench.metrics", "bench.models", "bench.progress", "bench.provenance", "bench.results",
    "bench.store", "bench.toml",
}  # fmt: skip
_FETCHING = "bench.fetch"
_IGNORED = {"ctx", "type_comment", "kind", "returns", "annotation", "type_params"}
_NAMED = ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.FunctionDef | ast.AsyncFunctionDef
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Place:
    """A top-level name of a module; `name` "" stands for the module as a whole."""

    module: str
    name: str = ""


@dataclass
class Source:
    """One module: the statements behind every top-level name, what its imports mean, and what runs on import."""

    bindings: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Local name -> (module, name in it); the name is "" for a module."""
    always: list[ast.stmt] = field(default_factory=list)


@dataclass(frozen=True)
class Item:
    """A top-level name reduced to what it does, and the places it refers to, in order."""

    digest: str
    refers: tuple[Place, ...]


def code_hash(starts: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Hash (16 hex digits) of what names of modules reach; without names, every public one. Raises BenchError."""
    roots: list[Place] = []
    for module, names in starts:
        roots += [Place(module, name) for name in names or _public(module)]
    items = reach(roots)
    whole = {_joined(item) for item in items.values()}
    return hashlib.sha256("\n".join(sorted(whole)).encode()).hexdigest()[:16]


def _public(module: str) -> list[str]:
    return [name for name in source(module).bindings if not name.startswith("_")]


def constants(module: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Class -> those of `names` that it sets to a text in its body; classes with none of the first name are left out."""
    first, found = next(iter(names)), {}
    for name, nodes in source(module).bindings.items():
        held = {
            ast.unparse(target): node.value.value
            for one in nodes if isinstance(one, ast.ClassDef)
            for node in one.body if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        }  # fmt: skip
        if first in held:
            found[name] = {key: held[key] for key in names if key in held}
    return found


def reach(roots: Iterable[Place]) -> dict[Place, Item]:
    """Every place that is mentioned from `roots` on, with the statements that its module runs on import."""
    found: dict[Place, Item] = {}
    queue = list(roots)
    while queue:
        place = queue.pop()
        if place in found:
            continue
        found[place] = item = _item(place)
        queue.extend(item.refers)
        if place.name:
            queue.append(Place(place.module))
    return found


def _joined(item: Item) -> str:
    # What a name stands for is part of what refers to it: two functions of one name are not the same.
    return hashlib.sha256(" ".join([item.digest, *(_item(place).digest for place in item.refers)]).encode()).hexdigest()


@cache
def _item(place: Place) -> Item:
    module = source(place.module)
    nodes = module.bindings.get(place.name) if place.name else module.always
    if nodes is None:
        raise BenchError(f"{place.module} has no '{place.name}'")
    writer = _Writer(place.module)
    text = "\n".join(writer.text(node) for node in nodes)
    return Item(hashlib.sha256(text.encode()).hexdigest()[:16], tuple(dict.fromkeys(writer.refers)))


def path_of(module: str) -> Path | None:
    """The file of a module of the package; None for what is none. Nothing is imported."""
    first, *rest = module.split(".")
    base = PACKAGE.joinpath(*rest)
    if first != NAME:
        return None
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


@cache
def source(module: str) -> Source:
    """Parse a module of the package. Raises BenchError when there is none."""
    path = path_of(module)
    if path is None:
        raise BenchError(f"no module {module} below {PACKAGE}")
    found = Source()
    tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                found.imports[name] = (alias.name if alias.asname else name, "")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            found.imports.update({alias.asname or alias.name: (base, alias.name) for alias in node.names})
    _bind(tree.body, found)
    return found


def _bind(body: Iterable[ast.stmt], found: Source) -> None:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.bindings.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
            plain = all(isinstance(t, ast.Name | ast.Tuple | ast.Starred | ast.List) for t in targets)
            for name in names if plain else ():
                found.bindings.setdefault(name, []).append(node)
            if not plain:
                found.always.append(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            _bind(node.orelse, found)
        elif isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            continue  # a script's own start
        elif isinstance(node, ast.If | ast.Try):
            parts = [node.body, node.orelse]
            if isinstance(node, ast.Try):
                parts += [node.finalbody, *(handler.body for handler in node.handlers)]
            for part in parts:
                _bind(part, found)
        elif not isinstance(node, ast.Import | ast.ImportFrom | ast.Pass) and not _is_text(node):
            found.always.append(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def resolve(module: str, name: str) -> Place | None:
    """What `name` means in `module`: a place in the package, or None for anything else."""
    seen: set[tuple[str, str]] = set()
    while (module, name) not in seen:
        seen.add((module, name))
        known = source(module)
        if name in known.bindings:
            return Place(module, name)
        if name not in known.imports:
            submodule = f"{module}.{name}"
            return Place(submodule) if path_of(submodule) else None
        base, name = known.imports[name]
        if not name:
            return Place(base) if path_of(base) else None
        if path_of(base) is None:
            return None
        if _neutral(base) and path_of(f"{base}.{name}") is None:
            return Place(base, name)
        module = base
    return None


def _neutral(module: str) -> bool:
    return module in NEUTRAL or module == _FETCHING or module.startswith(f"{_FETCHING}.")


class _Writer:
    """Writes syntax trees as text that says what they do, and notes the places they refer to."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.refers: list[Place] = []
        self.free: set[str] = set()
        self.local: dict[str, str] | None = None

    def text(self, node: object) -> str:
        if isinstance(node, list):
            return "[" + ",".join(self.text(one) for one in node if not _is_left_out(one)) + "]"
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and self.local is None:
            return self._function(node)
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Constant):
            return f"{type(node.value).__name__}:{node.value!r}"
        return self._plain(node)

    def _plain(self, node: ast.AST) -> str:
        parts = []
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or (name in _IGNORED and not _typed_field(node, name)):
                self._note(value)
                continue
            if isinstance(value, str) and self.local is not None and value in self.local and name == "name":
                parts.append(self._number(value))
            else:
                parts.append(f"{name}={self.text(value)}")
        return f"{type(node).__name__}({','.join(parts)})"

    def _function(self, node: _Function) -> str:
        """An outermost function: its local variables get numbers, its arguments keep their names."""
        self.free = {arg.arg for arg in ast.walk(node) if isinstance(arg, ast.arg)}
        shared = {name for one in ast.walk(node) if isinstance(one, ast.Global) for name in one.names}
        self.local = dict.fromkeys(sorted(_stored(node) - self.free - shared), "")
        text = self._plain(node)
        self.local, self.free = None, set()
        return text

    def _number(self, name: str) -> str:
        assert self.local is not None
        if not self.local[name]:
            self.local[name] = f"_{sum(map(bool, self.local.values()))}"
        return self.local[name]

    def _name(self, name: str) -> str:
        if self.local is not None and name in self.local:
            return self._number(name)
        return self._refer(name, None if name in self.free else resolve(self.module, name))

    def _refer(self, name: str, place: Place | None) -> str:
        if place is None:
            return name
        if _neutral(place.module):
            return f"@{place.name or place.module}"
        if place.name:
            self.refers.append(place)
            return f"@{place.name}"
        # A module handed on as a value: all of it counts.
        self.refers += [Place(place.module, one) for one in source(place.module).bindings]
        return f"@{place.module}"

    def _attribute(self, node: ast.Attribute) -> str:
        names: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            names.insert(0, base.attr)
            base = base.value
        known = isinstance(base, ast.Name) and base.id not in self.free and base.id not in (self.local or {})
        place = resolve(self.module, base.id) if known and isinstance(base, ast.Name) else None
        if place is None or place.name:
            return f"{self.text(node.value)}.{node.attr}"
        # A chain that starts at a module: follow it as far as it goes.
        while names and place is not None and not place.name:
            inner = resolve(place.module, names[0])
            if inner is None and _neutral(place.module):
                inner = Place(place.module, names[0])
            if inner is None:
                break
            place = inner
            names.pop(0)
        return ".".join([self._refer("", place), *names])

    def _note(self, value: object) -> None:
        """Follow what is not written: an annotation names the class whose methods are called."""
        if isinstance(value, ast.AST):
            self.text(value)


def _stored(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load):
            names.add(one.id)
        elif isinstance(one, _NAMED) and one is not node and one.name:
            names.add(one.name)
    return names


def _typed_field(node: ast.AST, name: str) -> bool:
    """A class's annotated field: its annotation decides what a dataclass makes of it."""
    return isinstance(node, ast.AnnAssign) and name == "annotation"


def _is_left_out(node: object) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom) or (isinstance(node, ast.AST) and _is_text(node))


def forget() -> None:
    """Read the sources again: for tests that edit them."""
    for cached in (_item, source):
        cached.cache_clear()


def modules() -> Iterator[tuple[str, Path]]:
    """Every module of the package with its file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join([NAME, *(parts[:-1] if parts[-1] == "__init__" else parts)]), path
