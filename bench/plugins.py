"""Codecs of a user's own that are no installed package: folders that hold cards (NAME.toml) and adapters (NAME.py).

They are named by `--plugins PATH[,PATH]` or by BENCH_PLUGINS, which worker processes read too. PATH is such a folder, or one
card; a card's adapter lies beside it. `bench new codec NAME` writes both. An adapter is imported as bench_plugins.NAME, so that
a file may be called as the package that it wraps; files beside it are imported by `from bench_plugins import helper`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from bench.content import file_sha256
from bench.errors import BenchError

VARIABLE = "BENCH_PLUGINS"
PACKAGE = "bench_plugins"
_DOCUMENTS = {".md", ".rst", ".txt", ".toml", ".parquet"}
"""What lies beside an adapter and does not decide what it computes: settings of cards are in keys by themselves."""


def use(places: Sequence[Path | str]) -> None:
    """Know the plug-ins at `places` besides those that are known already, here and in worker processes. Raises BenchError."""
    known = [*paths()]
    for place in places:
        path = Path(place).expanduser().resolve()
        if not path.is_dir() and not (path.suffix == ".toml" and path.is_file()):
            why = "there is no such folder or card" if not path.exists() else "is neither a folder nor a card (.toml)"
            raise BenchError(f"plug-in {place}: {why}; `bench new codec NAME` writes a card and its adapter")
        if path not in known:
            known.append(path)
    os.environ[VARIABLE] = os.pathsep.join(map(str, known))


def cards() -> tuple[Path, ...]:
    """The cards of all plug-ins. Raises BenchError for a folder that holds none."""
    found: list[Path] = []
    for place in paths():
        here = [place] if place.suffix == ".toml" else [path for path in sorted(place.glob("*.toml")) if _is_card(path)]
        if not here:
            raise BenchError(f"plug-in {place}: holds no card (NAME.toml); `bench new codec NAME` writes a card and its adapter")
        found += [path for path in here if path not in found]
    return tuple(found)


def adapters() -> dict[str, str]:
    """Adapter name -> module, of all plug-ins. Raises BenchError for two of one name. Only their package is made known."""
    found: dict[str, Path] = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.py")):
            if not path.stem.isidentifier() or path.stem.startswith(("_", "test_", "conftest")):
                continue
            other = found.setdefault(path.stem, path)
            if other != path:
                raise BenchError(f"{path}: the adapter '{path.stem}' is there already: {other}; rename one")
    if found:
        package = sys.modules.setdefault(PACKAGE, ModuleType(PACKAGE))
        package.__path__ = [str(folder) for folder in _folders()]
    return {name: f"{PACKAGE}.{name}" for name in found}


def content(module: str) -> str:
    """Digest of the adapter's folder: of the files right in it, documents and tests left out."""
    name = module.rpartition(".")[2]
    folder = next((folder for folder in _folders() if (folder / f"{name}.py").is_file()), None)
    if folder is None:
        return "absent"
    kept = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix not in _DOCUMENTS]
    kept = [path for path in kept if not path.name.startswith((".", "test_", "conftest"))]
    return sha256("".join(f"{path.name}\0{file_sha256(path)}\n" for path in kept).encode()).hexdigest()


def paths() -> list[Path]:
    """The folders and cards that are known, as absolute paths."""
    return [Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


def _folders() -> list[Path]:
    return list(dict.fromkeys(place.parent if place.suffix == ".toml" else place for place in paths()))


def _is_card(path: Path) -> bool:
    """Whether a TOML file means to be a card: a project's own pyproject.toml is none."""
    return path.stem != "pyproject" and any(
        line.replace(" ", "").startswith("family=") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    )
