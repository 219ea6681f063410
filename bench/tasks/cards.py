"""Task cards (tasks/*.toml) and metric profiles (tasks/profiles/*.toml), as data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from msgspec import Meta

from bench import toml
from bench.cards import ROOT
from bench.errors import BadCard, UnknownName
from bench.toml import Record

FOLDER = ROOT / "tasks"


class TaskCard(Record, frozen=True):
    """One task: the module that runs it, its default data per profile, its settings.

    columns: what its table shows, where the profile does not say it. settings: what the module reads.
    """

    task: str
    module: str
    title: str
    summary: str = ""
    protocol: str = ""
    data: Mapping[str, str] = {}
    settings: Mapping[str, Any] = {}
    columns: tuple[str, ...] = ()


class Protocol(Record, frozen=True):
    """What a paper leaves to its code. `rate_hz` and `length` are obeyed (bench.engine.pairing); the rest is told."""

    rate_hz: Annotated[int, Meta(ge=1000)] = 16000
    length: str = "zeros"
    delay: str = ""
    reference: str = ""
    reference_vc: str = ""
    dnsmos: str = ""
    warpq: str = ""
    visqol: str = ""
    sim: str = ""
    f0: str = ""
    asr: str = ""
    normaliser: str = ""
    error_rates: str = ""
    rtf: str = ""
    entropy: str = ""


class Profile(Record, frozen=True):
    """Which columns a table has and by which rules; `codecs` are the operating points that a paper compares."""

    profile: str
    title: str
    columns: Annotated[tuple[str, ...], Meta(min_length=1)]
    codecs: tuple[str, ...] = ()
    protocol: Protocol = Protocol()


@cache
def paths() -> dict[str, Path]:
    """Task -> card; other packages add folders of cards through the entry point group `bench.tasks`."""
    folders = [FOLDER, *(Path(str(files(entry.value))) for entry in entry_points(group="bench.tasks"))]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


@cache
def load(task: str) -> TaskCard:
    """The card of `task`; raises UnknownName with the nearest ones, BadCard."""
    if task not in paths():
        raise UnknownName("task", task, paths())
    return toml.read(paths()[task], TaskCard)


def readable() -> tuple[list[TaskCard], list[BadCard]]:
    """Every card that can be read, in order of their names, and what is wrong with the others."""
    found, faults = [], []
    for task in paths():
        try:
            found.append(load(task))
        except BadCard as fault:
            faults.append(fault)
    return found, faults


def module(task: str) -> ModuleType:
    """The module that runs `task`. Raises UnknownName, or BadCard where the card names none that runs."""
    card, path = load(task), paths()[task]
    try:
        found = import_module(card.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{card.module}.".startswith(f"{error.name}."):
            raise  # the module is there; what it imports is not
        raise BadCard(f"{path}: key 'module' is '{card.module}'; there is no such module") from error
    if not callable(getattr(found, "run", None)):
        raise BadCard(f"{path}: key 'module' is '{card.module}'; it has no function run(options)")
    return found


@cache
def profiles() -> dict[str, Path]:
    """Profile -> card: `embedded`, `paper:focalcodec` (paper-focalcodec.toml) and so on."""
    return {path.stem.replace("paper-", "paper:"): path for path in sorted((FOLDER / "profiles").glob("*.toml"))}


@cache
def profile(name: str) -> Profile:
    """The profile called `name`; "paper" alone means FocalCodec's. Raises UnknownName, BadCard."""
    wanted = "paper:focalcodec" if name == "paper" else name
    if wanted not in profiles():
        raise UnknownName("profile", name, profiles())
    return toml.read(profiles()[wanted], Profile)
