"""Task cards (tasks/*.toml) and metric profiles (tasks/profiles/*.toml), as data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.cards import ROOT
from bench.errors import BadCard, UnknownName

FOLDER = ROOT / "tasks"
_KEYS = {"task", "module", "title", "summary", "protocol", "data", "settings", "columns"}


@dataclass(frozen=True)
class TaskCard:
    """One task: the module that runs it, its default data per profile, its settings."""

    task: str
    module: str
    title: str
    summary: str = ""
    protocol: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = ()


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadCard(f"{path}: {error}") from error


@cache
def paths() -> dict[str, Path]:
    """Task -> card; other packages add folders of cards through the entry point group `bench.tasks`."""
    from importlib.resources import files

    folders = [FOLDER, *(Path(str(files(entry.value))) for entry in entry_points(group="bench.tasks"))]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


@cache
def load(task: str) -> TaskCard:
    """The card of `task`; raises UnknownName with the nearest ones."""
    if task not in paths():
        raise UnknownName("task", task, paths())
    raw = _read(paths()[task])
    for key in raw:
        if key not in _KEYS:
            raise BadCard(f"{paths()[task]}: {UnknownName('key', key, _KEYS)}")
    return TaskCard(**{**raw, "columns": tuple(raw.get("columns", ()))})


@cache
def profile(name: str) -> Mapping[str, Any]:
    """A metric profile: `embedded`, or `paper:focalcodec` (paper-focalcodec.toml); "paper" alone means FocalCodec's."""
    known = {
        path.stem.replace("paper-", "paper:").replace("paper_", "paper:"): path
        for path in (FOLDER / "profiles").glob("*.toml")
    }
    wanted = "paper:focalcodec" if name == "paper" else name
    if wanted not in known:
        raise UnknownName("profile", name, known)
    return _read(known[wanted])
