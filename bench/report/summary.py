"""The numbers behind a leaderboard: value, interval, counts, ties and marks of every system and column of one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bench import validity
from bench.metrics import Column
from bench.report.columns import RATE_COLUMNS, TOP_FAMILIES, column_of, competes, fact_names, family, score_names
from bench.report.design import caveats
from bench.stats import bootstrap
from bench.stats.bootstrap import SEED, Scheme
from bench.stats.labels import system_labels
from bench.stats.scores import GROUP, Group, Scores, groups, scores, tidy

if TYPE_CHECKING:
    import pandas as pd

CLUSTERS_NEEDED = 10
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
    blind: Mapping[str, str] = field(default_factory=dict)
    """Column that cannot tell codecs apart -> why, in words: its topline lies within its interval of chance."""

    def failed(self, system: str, names: Sequence[str]) -> int:
        """Utterances of a system that have no score in one of the columns `names`, or in several."""
        if self.scores is None or system not in self.scores.systems:
            return 0
        at = [self.scores.columns.index(name) for name in names if name in self.scores.columns]
        return int(self.scores.failed[:, self.scores.systems.index(system), at].any(axis=1).sum())

    def kbps(self, system: str) -> float:
        """Measured bit rate in kbit/s: packed where it was measured, else nominal; NaN for references."""
        for name in RATE_COLUMNS:
            cell = self.cells.get((system, name))
            if family(system) not in TOP_FAMILIES and cell is not None and np.isfinite(cell.value):
                return cell.value
        return float("nan")


def choose_scheme(data: Scores) -> Scheme:
    """Speakers are resampled where there are enough to stand for others; else utterances within speakers."""
    if data.speaker_count >= CLUSTERS_NEEDED:
        return "cluster"
    return "stratified" if 1 < data.speaker_count < len(data.utterances) else "utterance"


def summaries(
    rows: pd.DataFrame,
    columns: Mapping[str, Column],
    draws: int = DRAWS,
    seed: int = SEED,
) -> list[Summary]:
    """A summary per task x data list x condition of the rows."""
    rows = tidy(rows)
    alarms = validity.alarms(rows)
    return [
        _summary(group, part, columns, validity.marks(_within(alarms, group), part), draws, seed) for group, part in groups(rows)
    ]


def _within(alarms: pd.DataFrame, group: Group) -> pd.DataFrame:
    keys = alarms[list(GROUP)]
    return alarms[(keys == [group.task, group.condition, group.dataset, group.dataset_sha256]).all(axis=1)]


def _summary(
    group: Group,
    rows: pd.DataFrame,
    columns: Mapping[str, Column],
    marked: pd.DataFrame,
    draws: int,
    seed: int,
) -> Summary:
    # where no transcript is given, a score that needs one was not asked for
    rows = rows[rows["failure"].astype(str) != NO_TEXT]
    labels = system_labels(rows)
    present = list(dict.fromkeys(rows["column"].astype(str)))
    wanted = [*score_names(present, columns), *fact_names(present, columns), *present]
    names = [name for name in dict.fromkeys(wanted) if column_of(name, columns).role != "trace"]
    data = scores(rows, labels, names)
    scheme = choose_scheme(data)
    ranked = score_names(data.columns, columns)
    drawn = data.pick(ranked).draws(scheme, draws, seed)
    sample = {name: drawn[:, :, i] for i, name in enumerate(ranked)}
    nothing = np.full((1, len(data.systems)), np.nan)
    df = data.df(scheme)
    failures = _failures(rows, labels)
    cells: dict[tuple[str, str], Cell] = {}
    for c, name in enumerate(data.columns):
        best = _best(data, sample[name], c, column_of(name, columns), df, scheme, draws, seed) if name in sample else ()
        for s, system in enumerate(data.systems):
            if not data.present[:, s, c].any():
                continue
            value = float(data.estimates[s, c])
            low, high = bootstrap.bounds(value, sample.get(name, nothing)[:, s], 0.95, "expanded", df)
            cells[system, name] = Cell(
                value, low, high, int(data.scored[:, s, c].sum()), failures.get((system, name), {}), s in best
            )
    blind = blind_columns(cells, {name: column_of(name, columns).title for name in ranked})
    cells = {key: replace(cell, best=False) if key[1] in blind else cell for key, cell in cells.items()}
    alike = any(name.startswith("sim_") for name in ranked)
    told = _marks(marked)
    for system in data.systems:
        if found := caveats(system, group.dataset, alike):
            told[system] = [*told.get(system, ()), *found]
    summary = Summary(
        group,
        data.systems,
        data.columns,
        cells,
        len(data.utterances),
        data.speaker_count,
        _seconds(rows),
        _any(rows, "partial"),
        _any(rows, "synthetic"),
        scheme,
        draws,
        seed,
        told,
        _versions(rows),
        validity.original_notes(rows),
        _reasons(rows, labels, ranked),
        data,
        blind,
    )
    return _ordered(summary)


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
            found = _best(data, sample[:, :, k], c, column, df, summary.scheme, summary.draws, summary.seed, among)
            lone = [s for s in among if data.scored[:, s, c].any()]
            ranked = sorted(found or (lone if len(lone) == 1 else ()), key=lambda s: data.estimates[s, c])
            made[-1][name] = tuple(data.systems[s] for s in (ranked[::-1] if column.better == "higher" else ranked))
    return made


def _seconds(rows: pd.DataFrame) -> float:
    """Seconds of speech that was coded: of each utterance the median over systems, ceilings and references apart."""
    coded = ~rows["role"].isin(["ceiling", "reference"]) if "role" in rows else rows["seconds"].notna()
    some = rows[coded] if coded.any() else rows
    return float(some.groupby("utterance", observed=True)["seconds"].median().sum())


def _any(rows: pd.DataFrame, name: str) -> bool:
    return name in rows and bool((rows[name].astype(str) == "True").any())


def _ordered(summary: Summary) -> Summary:
    def place(system: str) -> tuple[int, float, str]:
        top = family(system) in TOP_FAMILIES
        rate = summary.kbps(system)
        return (0 if family(system) == "original" else 1 if top else 2, -rate if np.isfinite(rate) else 0.0, system)

    return replace(summary, systems=tuple(sorted(summary.systems, key=place)))


def _best(
    data: Scores,
    sample: bootstrap.Floats,
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
    n = data.scored[:, :, c].sum(axis=0)
    some = range(len(data.systems)) if among is None else among
    most_n = max((n[s] for s in some), default=0)
    able = [s for s in some if competes(data.systems[s]) and n[s] > 0 and n[s] >= STARRED_FROM * most_n]
    if len(able) < 2:
        return set()
    sign = 1.0 if column.better == "higher" else -1.0
    most = max(sign * data.estimates[s, c] for s in able)
    # where several share first place, a codec ties with all of them or with none
    tops = {s for s in able if sign * data.estimates[s, c] == most}

    def ties(s: int, best: int) -> bool:
        if np.array_equal(data.scored[:, s, c], data.scored[:, best, c]):
            gap, low, high = _gap(data.estimates[s, c] - data.estimates[best, c], sample[:, s] - sample[:, best], df)
        else:
            terms, speakers = data.pair(best, s, c)
            found = bootstrap.statistic_interval(terms, bootstrap.difference, speakers, scheme, "expanded", 0.95, draws, seed)
            gap, low, high = found.estimate, found.low, found.high
        # a bound of exactly 0 is rounded to either side of it by the order of a sum
        return gap == 0 or (low <= _ROUNDING and high >= -_ROUNDING)

    return tops | {s for s in able if all(ties(s, best) for best in tops)}


def _gap(estimate: float, sample: bootstrap.Floats, df: int) -> tuple[float, float, float]:
    return (estimate, *bootstrap.bounds(float(estimate), sample, 0.95, "expanded", df))


def _failures(rows: pd.DataFrame, labels: pd.Series[str]) -> dict[tuple[str, str], dict[str, int]]:
    failed = rows["failure"].notna() & (rows["failure"].astype(str) != "")
    out: dict[tuple[str, str], dict[str, int]] = {}
    counted = rows[failed].assign(system=labels[failed]).groupby(["system", "column", "failure"], sort=False).size()
    for (system, column, kind), count in counted.items():
        out.setdefault((str(system), str(column)), {})[str(kind)] = int(count)
    return out


def _reasons(rows: pd.DataFrame, labels: pd.Series[str], names: Sequence[str]) -> dict[str, tuple[str, int, str]]:
    failed = (rows["failure"].astype(str) != "") & rows["failure"].notna() & rows["column"].isin(list(names))
    some = rows.loc[failed, ["utterance", "failure", "detail"]].astype(str).assign(system=labels[failed])
    out: dict[str, tuple[str, int, str]] = {}
    for system, part in some.drop_duplicates(["system", "utterance", "failure"]).groupby("system", sort=False):
        kind = part["failure"].value_counts(sort=True).index[0]
        mine = part[part["failure"] == kind]
        out[str(system)] = str(kind), len(mine), str(mine["detail"].iloc[0])
    return out


def _marks(marked: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    out: dict[str, list[tuple[str, str]]] = {}
    for line in marked.itertuples(index=False):
        out.setdefault(str(line.system), []).append((str(line.mark), f"{line.meaning} ({line.count} of {line.total})"))
    return out


def _versions(rows: pd.DataFrame) -> dict[str, str]:
    """Metric -> versions, and code and device, as one line each."""
    out: dict[str, str] = {}
    pairs = rows[["metric", "metric_version"]].dropna().astype(str).drop_duplicates()
    pairs = pairs[pairs["metric"] != ""]
    if len(pairs):
        out["metrics"] = ", ".join(sorted(f"{m} {v}" for m, v in pairs.itertuples(index=False)))
    for name in ("code_version", "device", "threads"):
        values = sorted({str(v) for v in rows[name].dropna().unique()} - {""}) if name in rows else []
        if values:
            out[name.replace("_", " ")] = ", ".join(values)
    return out
