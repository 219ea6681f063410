"""The numbers behind a leaderboard: value, interval, counts, ties and marks of every system and column of one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bench import validity
from bench.metrics import Column
from bench.report import particulars
from bench.report.columns import RATE_COLUMNS, TOP_FAMILIES, column_of, competes, fact_names, family, score_names
from bench.report.design import caveats
from bench.speech import BY_HEART
from bench.stats import bootstrap
from bench.stats.items import Items
from bench.stats.parts import Part
from bench.stats.resampling import SEED, Floats, Scheme
from bench.stats.scores import Scores, read_scores
from bench.stats.tables import Group, Table, tables

if TYPE_CHECKING:
    import pandas as pd

STARRED_FROM = 0.9
"""A system's n, as a share of the largest of its column, from which on it may be the best: who fails on the hard
utterances does not win by it."""
NO_TEXT = "no_text"
CHANCE, TOPLINE = "chance", "log-mel"
"""The references of a probe: what knowing nothing gives, and features of the original itself."""
_ROUNDING = 1e-12
DRAWS = 2000
"""Enough to print an interval's half to its second digit; gates take more."""


@dataclass(frozen=True)
class Cell:
    """A system's value in a column: mean or corpus rate, 95 % interval, utterances scored, utterances failed by kind.

    best: the best of its column or not to be told from it.
    """

    value: float
    low: float
    high: float
    n: int
    failures: Mapping[str, int]
    best: bool = False

    @property
    def failed(self) -> int:
        """Utterances without a score, of any kind of failure."""
        return sum(self.failures.values())


@dataclass(frozen=True)
class Summary:
    """One table. systems: references first, then by falling bit rate. cells: (system, column) -> Cell."""

    group: Group
    systems: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    utterances: int
    speakers: int
    seconds: float
    partial: bool
    synthetic: bool
    scheme: Scheme
    draws: int
    seed: int
    marks: Mapping[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """System -> (mark, meaning with counts; what a system's card says of all of its utterances has none)."""
    versions: Mapping[str, str] = field(default_factory=dict)
    originals: Sequence[str] = ()
    """What is odd about the recordings themselves, a line each."""
    reasons: Mapping[str, tuple[str, int, str]] = field(default_factory=dict)
    """System -> (commonest kind of failure in its scores, utterances that failed so, the detail of one of them)."""
    scores: Scores | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    """System -> what its rows are: resynthesis, ceiling, reference."""
    blind: Mapping[str, str] = field(default_factory=dict)
    """Column that cannot tell codecs apart -> why, in words: its topline lies within its interval of chance, or what was
    tested is what was trained on."""

    def competes(self, system: str) -> bool:
        """Whether a system can be the best of a column."""
        return competes(system, self.roles.get(system, ""))

    def failed(self, system: str, names: Sequence[str]) -> int:
        """Utterances of a system that have no score in one of the columns `names`, or in several."""
        if self.scores is None or system not in self.scores.systems:
            return 0
        return self.scores.failures(self.scores.systems.index(system), names)

    def kbps(self, system: str) -> float:
        """Measured bit rate in kbit/s: packed where it was measured, else nominal; NaN for references."""
        for name in RATE_COLUMNS:
            cell = self.cells.get((system, name))
            if family(system) not in TOP_FAMILIES and cell is not None and np.isfinite(cell.value):
                return cell.value
        return float("nan")


def summaries(
    rows: pd.DataFrame | Sequence[Part],
    columns: Mapping[str, Column],
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[Summary]:
    """A summary per task x data list x condition of the rows, which are in memory or read in parts."""
    return [_summary(table, columns, draws, seed) for table in tables(rows)]


def _summary(whole: Table, columns: Mapping[str, Column], draws: int, seed: int) -> Summary:
    # where no transcript is given, a score that needs one was not asked for
    table = whole.without("failure", NO_TEXT)
    group, kinds = table.group, table.kinds
    present = list(dict.fromkeys(kinds["column"]))
    roles = dict(zip(kinds["system"], kinds["role"].astype(str), strict=True))
    wanted = [*score_names(present, columns), *fact_names(present, columns), *present]
    names = [name for name in dict.fromkeys(wanted) if column_of(name, columns).role != "trace"]
    data = read_scores(table, names)
    scheme = data.items.scheme
    ranked = score_names(data.columns, columns)
    drawn = data.pick(ranked).draws(scheme, draws, seed)
    sample = {name: drawn[:, :, i] for i, name in enumerate(ranked)}
    nothing = np.full((1, len(data.systems)), np.nan)
    df = data.df(scheme)
    failed = particulars.failures(kinds)
    cells: dict[tuple[str, str], Cell] = {}
    for c, name in enumerate(data.columns):
        best = _best(data, roles, sample[name], c, column_of(name, columns), df, scheme, draws, seed) if name in sample else ()
        for s, system in enumerate(data.systems):
            if not data.there(s, c):
                continue
            value = float(data.estimates[s, c])
            low, high = bootstrap.bounds(value, sample.get(name, nothing)[:, s], 0.95, "expanded", df)
            cells[system, name] = Cell(value, low, high, int(data.counts[s, c]), failed.get((system, name), {}), s in best)
    blind = blind_columns(cells, {name: column_of(name, columns).title for name in ranked})
    if group.condition == BY_HEART:
        blind = dict.fromkeys(ranked, "What is known by heart tells nothing of a codec: no codec is best, and nothing is plotted")
    cells = {key: replace(cell, best=False) if key[1] in blind else cell for key, cell in cells.items()}
    return _ordered(
        Summary(
            group,
            data.systems,
            data.columns,
            cells,
            data.items.utterances,
            data.speaker_count,
            particulars.seconds(table),
            particulars.anywhere(kinds, "partial"),
            particulars.anywhere(kinds, "synthetic"),
            scheme,
            draws,
            seed,
            _marks(whole, data.items, any(name.startswith("sim_") for name in ranked)),
            particulars.versions(kinds),
            validity.original_notes(table.parts, data.items),
            particulars.reasons(table, ranked),
            data,
            roles,
            blind,
        )
    )


def _marks(table: Table, items: Items, alike: bool) -> dict[str, Sequence[tuple[str, str]]]:
    """System -> its marks: alarms, and what its card says. alike: whether speakers are compared."""
    found = zip(table.systems, validity.marks_of(table.parts, items, table.group.condition), strict=True)
    told = {system: [*marks, *caveats(system, table.group.dataset, alike)] for system, marks in found}
    return {system: marks for system, marks in told.items() if marks}


def blind_columns(cells: Mapping[tuple[str, str], Cell], titles: Mapping[str, str]) -> dict[str, str]:
    """Columns of a probe whose topline (features of the original itself) does no better than knowing nothing, and why.

    titles: name of each ranked column -> its title.
    """
    out = {}
    for name, title in titles.items():
        chance, top = cells.get((CHANCE, name)), cells.get((TOPLINE, name))
        if chance is None or top is None or not np.isfinite(top.high - top.low):
            continue
        # The whole width: one end of a bootstrap's interval near a bound (an error rate of 1) is short of it.
        if abs(top.value - chance.value) <= max(top.high - top.low, chance.high - chance.low):
            out[name] = (
                f"{title} cannot tell anything: the topline {TOPLINE}, which reads the original itself, is no "
                f"further from {CHANCE} than its interval is wide; no codec is best, and nothing is plotted"
            )
    return out


def best_among(
    summary: Summary, columns: Mapping[str, Column], names: Sequence[str], parts: Sequence[Sequence[str]]
) -> list[dict[str, tuple[str, ...]]]:
    """Of each part of a table's systems: column -> the best of the part and all that are not told from it, the best in front.
    A system that is alone is its part's best."""
    assert summary.scores is not None
    data = summary.scores
    sample, df = data.pick(names).draws(summary.scheme, summary.draws, summary.seed), data.df(summary.scheme)
    made: list[dict[str, tuple[str, ...]]] = []
    for part in parts:
        among = [data.systems.index(system) for system in part]
        made.append({})
        for k, name in enumerate(names):
            c, column = data.columns.index(name), column_of(name, columns)
            found = _best(data, summary.roles, sample[:, :, k], c, column, df, summary.scheme, summary.draws, summary.seed, among)
            lone = [s for s in among if data.counts[s, c]]
            ranked = sorted(found or (lone if len(lone) == 1 else ()), key=lambda s: data.estimates[s, c])
            made[-1][name] = tuple(data.systems[s] for s in (ranked[::-1] if column.better == "higher" else ranked))
    return made


def _ordered(summary: Summary) -> Summary:
    def place(system: str) -> tuple[int, float, str]:
        top = family(system) in TOP_FAMILIES
        rate = summary.kbps(system)
        return (0 if family(system) == "original" else 1 if top else 2, -rate if np.isfinite(rate) else 0.0, system)

    return replace(summary, systems=tuple(sorted(summary.systems, key=place)))


def _best(
    data: Scores,
    roles: Mapping[str, str],
    sample: Floats,
    c: int,
    column: Column,
    df: int,
    scheme: Scheme,
    draws: int,
    seed: int,
    among: Sequence[int] | None = None,
) -> set[int]:
    """Indices of the best system of a column (of those in `among`) and of all whose paired 95 % interval against it holds 0."""
    if column.better == "neither":
        return set()
    n = data.counts[:, c]
    some = range(len(data.systems)) if among is None else among
    most_n = max((n[s] for s in some), default=0)
    able = [
        s for s in some
        if competes(data.systems[s], roles.get(data.systems[s], "")) and n[s] > 0 and n[s] >= STARRED_FROM * most_n
    ]  # fmt: skip
    if len(able) < 2:
        return set()
    sign = 1.0 if column.better == "higher" else -1.0
    most = max(sign * data.estimates[s, c] for s in able)
    # where several share first place, a codec ties with all of them or with none
    tops = {s for s in able if sign * data.estimates[s, c] == most}

    def ties(s: int, best: int) -> bool:
        if data.alike(s, best, c):
            gap, low, high = _gap(data.estimates[s, c] - data.estimates[best, c], sample[:, s] - sample[:, best], df)
        else:
            terms, common = data.pair(best, s, c)
            found = bootstrap.planned_interval(terms, bootstrap.difference, common.plan(scheme), "expanded", 0.95, draws, seed)
            gap, low, high = found.estimate, found.low, found.high
        # a bound of exactly 0 is rounded to either side of it by the order of a sum
        return gap == 0 or (low <= _ROUNDING and high >= -_ROUNDING)

    return tops | {s for s in able if all(ties(s, best) for best in tops)}


def _gap(estimate: float, sample: Floats, df: int) -> tuple[float, float, float]:
    return (estimate, *bootstrap.bounds(float(estimate), sample, 0.95, "expanded", df))
