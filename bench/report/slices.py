"""A table's scores by groups of utterances: speaker, gender, accent, language, duration or level, the worst group named.

Every cell is a corpus value with its 95 % interval (bootstrap over the group's speakers, or utterances where there are few).
The worst group of a system is called apart from its best one where the 95 % interval of their difference leaves out 0; the
groups hold different utterances, so the draws of the two are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError, UnknownName
from bench.metrics import Column
from bench.report.columns import column_of, half_width, heading, number, score_names
from bench.report.summary import DRAWS
from bench.report.text import clean, code, grid, markdown_table
from bench.stats import bootstrap
from bench.stats.parts import Part
from bench.stats.resampling import SEED, Floats
from bench.stats.scores import Scores, read_scores
from bench.stats.tables import Group, tables

if TYPE_CHECKING:
    import pandas as pd

    from bench.speech import Dataset, Utterance

UNKNOWN = "not told"
FEWEST = 5
"""Utterances of a group that may be called the worst."""
OF_ROWS = ("speaker", "language")
OF_SPEECH: Mapping[str, Callable[[Utterance], str | None]] = {"gender": lambda u: u.gender, "accent": lambda u: u.accent}
BANDS = {
    "duration": ((2.0, 3.0, 4.0, 6.0, 10.0, 15.0), "s"),
    "level": ((-35.0, -30.0, -25.0, -20.0), "dBFS"),
}
"""Edges of the groups of what is measured: seconds of an utterance, RMS level of its original."""
KINDS = (*OF_ROWS, *OF_SPEECH, *BANDS)


@dataclass(frozen=True)
class Slice:
    """One cell: a system's value in a group. apart: whether the worst differs from the best beyond chance."""

    value: float
    low: float
    high: float
    n: int
    worst: bool = False
    apart: bool = False


@dataclass(frozen=True)
class Sliced:
    """One column of one table: system -> group -> cell."""

    group: Group
    column: Column
    cells: Mapping[str, Mapping[str, Slice]]


def needs_speech(by: str) -> bool:
    """Whether the data set itself must tell the groups. Raises UnknownName for what is no kind of group."""
    if by not in KINDS:
        raise UnknownName("kind of group", by, KINDS)
    return by in OF_SPEECH


def membership(rows: pd.DataFrame, by: str, dataset: Dataset | None = None) -> dict[str, str]:
    """Utterance -> its group. `dataset`: where `needs_speech`. Raises BenchError where nothing is told of any utterance."""
    if needs_speech(by):
        assert dataset is not None
        found = _of_speakers(rows, by, dataset) | {u.id: OF_SPEECH[by](u) or UNKNOWN for u in dataset}
    elif by in OF_ROWS:
        found = dict(zip(rows["utterance"].astype(str), rows[by].astype(str), strict=True))
    else:
        measured = _durations(rows) if by == "duration" else _levels(rows)
        found = {name: band(value, *BANDS[by]) for name, value in measured.items()}
    here = {name: found.get(name, UNKNOWN) for name in dict.fromkeys(rows["utterance"].astype(str))}
    if set(here.values()) <= {UNKNOWN}:
        raise BenchError(f"--by {by}: nothing is told of it for these utterances; group by one of {', '.join(KINDS)}")
    return here


def _of_speakers(rows: pd.DataFrame, by: str, dataset: Dataset) -> dict[str, str]:
    """Utterance -> the group that every recording of its speaker is in: conversions and mixtures are not in the data set."""
    groups: dict[str, set[str]] = {}
    for u in dataset:
        groups.setdefault(u.speaker, set()).add(OF_SPEECH[by](u) or UNKNOWN)
    pairs = zip(rows["utterance"].astype(str), rows["speaker"].astype(str), strict=True)
    return {name: next(iter(groups[who])) for name, who in dict.fromkeys(pairs) if len(groups.get(who, ())) == 1}


def told_by_rows(parts: Sequence[Part], by: str) -> dict[str, str]:
    """Utterance -> its group, for a kind of OF_ROWS."""
    found: dict[str, str] = {}
    for part in parts:
        for rows in part.slices(("utterance", by)):
            kinds = rows.group_by(["utterance", by], use_threads=False).aggregate([])
            found |= dict(zip(kinds["utterance"].to_pylist(), map(str, kinds[by].to_pylist()), strict=True))
    return found


def _durations(rows: pd.DataFrame) -> dict[str, float]:
    return dict(rows.groupby(rows["utterance"].astype(str))["seconds"].median().dropna())


def _levels(rows: pd.DataFrame) -> dict[str, float]:
    """Of each original: the level of what was decoded less the gain of the codec, the median over systems."""
    some = rows[rows["column"].isin(["deg_dbfs", "gain_db"])]
    wide = some.pivot_table(index=["utterance", "codec"], columns="column", values="value", observed=True)
    if not {"deg_dbfs", "gain_db"} <= set(wide.columns):
        return {}
    return dict((wide["deg_dbfs"] - wide["gain_db"]).groupby("utterance").median().dropna())


def band(value: float, edges: Sequence[float], unit: str) -> str:
    """The group of a measured value: `under 2 s`, `2 to 5 s`, `10 s and more`."""
    if value < edges[0]:
        return f"under {edges[0]:g} {unit}"
    for low, high in pairwise(edges):
        if value < high:
            return f"{low:g} to {high:g} {unit}"
    return f"{edges[-1]:g} {unit} and more"


def slices(
    rows: pd.DataFrame | Sequence[Part],
    columns: Mapping[str, Column],
    member: Mapping[str, str],
    draws: int = DRAWS,
    seed: int = SEED,
) -> Iterator[Sliced]:
    """Every scored column of every table in `rows`, by the groups of `member` (utterance -> group)."""
    for table in tables(rows):
        data = read_scores(table, score_names(dict.fromkeys(table.kinds["column"]), columns))
        names = np.array([member.get(name, UNKNOWN) for name in data.items.utterance_names(range(len(data.items)))])
        drawn = {name: _drawn(data.only(names == name), draws, seed + n) for n, name in enumerate(sorted(set(names)))}
        for c, column in enumerate(data.columns):
            about = column_of(column, columns)
            cells = {system: _cells(drawn, s, c, about) for s, system in enumerate(data.systems)}
            yield Sliced(table.group, about, {system: some for system, some in cells.items() if some})


@dataclass(frozen=True)
class _Drawn:
    data: Scores
    sample: Floats
    df: int


def _drawn(data: Scores, draws: int, seed: int) -> _Drawn:
    scheme = data.items.scheme
    return _Drawn(data, data.draws(scheme, draws, seed), data.df(scheme))


def _cells(drawn: Mapping[str, _Drawn], s: int, c: int, column: Column) -> dict[str, Slice]:
    made: dict[str, Slice] = {}
    for name, one in drawn.items():
        value = float(one.data.estimates[s, c])
        if np.isfinite(value):
            low, high = bootstrap.bounds(value, one.sample[:, s, c], 0.95, "expanded", one.df)
            made[name] = Slice(value, low, high, int(one.data.counts[s, c]))
    able = [name for name, cell in made.items() if cell.n >= FEWEST and np.isfinite(cell.high - cell.low)]
    if len(able) < 2:
        return made
    order = sorted(able, key=lambda name: made[name].value, reverse=column.better == "lower")
    worst, best = order[0], order[-1]
    a, b = drawn[worst].sample[:, s, c], drawn[best].sample[:, s, c]
    apart = False
    if len(a) == len(b) > 1:
        df = min(drawn[worst].df, drawn[best].df)
        low, high = bootstrap.bounds(made[worst].value - made[best].value, a - b, 0.95, "expanded", df)
        apart = low > 0 or high < 0
    if made[worst].value != made[best].value:
        made[worst] = replace(made[worst], worst=True, apart=apart)
    return made


def terminal(sliced: Sequence[Sliced], by: str, width: int = 160) -> str:
    """Every column as a block of text: systems down, groups across, the worst group at the end."""
    out: list[str] = []
    for one in sliced:
        where = f"{one.group.task} | {one.group.dataset} | {one.group.condition}"
        head, lines = _grid(one)
        out += [clean(f"{where} | {heading(one.column)} by {by}"), grid(head, lines, width, left=(0, len(head) - 1)), ""]
    return "\n".join([*out, NOTE]) + "\n"


def _grid(one: Sliced) -> tuple[list[str], list[list[str]]]:
    """(head, lines) of a column's table."""
    names = list(dict.fromkeys(name for cells in one.cells.values() for name in cells))
    names.sort(key=_place)
    sizes = {name: max(cells[name].n for cells in one.cells.values() if name in cells) for name in names}
    head = ["codec", *(f"{name} (n {sizes[name]})" for name in names), "worst"]
    lines = [
        [system, *(_text(cells.get(name), one.column) for name in names), _worst(cells)] for system, cells in one.cells.items()
    ]
    return head, lines


def markdown(sliced: Sequence[Sliced], by: str) -> str:
    """Every column as a table: systems down, groups across, the worst group at the end."""
    out = [f"### By {by}"]
    for one in sliced:
        head, lines = _grid(one)
        out.append(f"**{heading(one.column)}**\n\n{markdown_table(head, [[code(line[0]), *line[1:]] for line in lines])}")
    return "\n" + "\n\n".join([*out, f"- {NOTE}"]) + "\n"


NOTE = (
    f"±: half of the 95 % interval of the group. worst: of the groups with {FEWEST} utterances or more, the one with the worst "
    "value; a star where it differs from the best of them beyond chance (95 % interval of their difference)."
)


def _place(name: str) -> tuple[int, float, str]:
    """Bands by their size, names by the alphabet."""
    first = name.removeprefix("under ").split(" ")[0]
    try:
        return (0, float(first) - (1e-3 if name.startswith("under") else 0.0), name)
    except ValueError:
        return (1, 0.0, name)


def _text(cell: Slice | None, column: Column) -> str:
    if cell is None:
        return "–"
    return f"{number(cell.value, column)} {half_width(cell.low, cell.high, column)}".strip()


def _worst(cells: Mapping[str, Slice]) -> str:
    return next((name + ("*" if cell.apart else "") for name, cell in cells.items() if cell.worst), "")
