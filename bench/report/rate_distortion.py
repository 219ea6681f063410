"""Which codecs are worth their bits: the Pareto front of each score over the measured rate, and BD-rate between families.

Uncertainty is that of the table: utterances (or speakers) are drawn anew for all systems at once. A system's share of draws
on the front says how sure its place is; the BD-rate has a 95 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.metrics import Column
from bench.report.columns import TOP_FAMILIES, column_of, family, score_names
from bench.report.overview import FLOOR_FAMILIES
from bench.report.plots import MAIN_COLUMNS
from bench.report.series import series
from bench.report.summary import Summary, summaries
from bench.report.text import code, markdown_table
from bench.stats.bjontegaard import NoDelta, bd_rate, pareto
from bench.stats.parts import Part, parts_of
from bench.stats.resampling import Floats

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 200
"""Each asks for an interpolation of both curves."""
LEAST_SHARE = 0.025
"""Of draws on the front: below it, a system is beaten beyond chance."""
LEAST_DRAWS = 0.9
"""Share of draws that must have a delta for its interval to be told."""


@dataclass(frozen=True)
class Delta:
    """BD-rate of `test` against `anchor` in one column, as a share; NaN bounds where the draws often have none. why: there is
    no delta, and this is the reason."""

    anchor: str
    test: str
    column: str
    value: float
    low: float
    high: float
    why: str = ""


def measured(summary: Summary) -> tuple[str, ...]:
    """The systems with a measured rate, references and the floor apart."""
    return tuple(
        system for system in summary.systems
        if family(system) not in TOP_FAMILIES | FLOOR_FAMILIES and summary.kbps(system) > 0
    )  # fmt: skip


def curves(summary: Summary) -> dict[str, tuple[str, ...]]:
    """Series (the rates of one codec) -> its systems, where there are two rates or more."""
    found: dict[str, list[str]] = {}
    for system in measured(summary):
        found.setdefault(series(system), []).append(system)
    return {name: tuple(some) for name, some in found.items() if len({summary.kbps(system) for system in some}) == len(some) > 1}


def drawn_columns(summary: Summary, columns: Mapping[str, Column]) -> list[str]:
    """The main scores of the table, in the order of the plot; where it has none of them (a probe), all that can tell codecs."""
    present = [name for name in score_names(summary.columns, columns) if name not in summary.blind]
    found = [next((name for name in present if name.startswith(start)), "") for start in MAIN_COLUMNS]
    return [name for name in dict.fromkeys(found) if name] or present


def _qualities(summary: Summary, columns: Mapping[str, Column], names: Sequence[str], draws: int) -> tuple[Floats, Floats]:
    """Estimates [S, C] and draws [draws, S, C] of scores turned so that more is better."""
    assert summary.scores is not None
    data = summary.scores.pick(names)
    sign = np.array([-1.0 if column_of(name, columns).better == "lower" else 1.0 for name in names])
    return data.estimates * sign, data.draws(summary.scheme, draws, summary.seed) * sign


def fronts(
    summary: Summary, columns: Mapping[str, Column], names: Sequence[str], draws: int = DRAWS
) -> dict[str, list[tuple[str, float]]]:
    """Column -> (system, share of draws in which nothing beats it), by rising rate; those beaten beyond chance are left out."""
    systems = measured(summary)
    if summary.scores is None or not systems or not names:
        return {}
    _, sample = _qualities(summary, columns, names, draws)
    at = [summary.scores.systems.index(system) for system in systems]
    rates = [summary.kbps(system) for system in systems]
    made: dict[str, list[tuple[str, float]]] = {}
    for c, name in enumerate(names):
        some = np.nan_to_num(sample[:, at, c], nan=-np.inf)
        share = (pareto(rates, some) & np.isfinite(some)).mean(axis=0)
        order = np.argsort(rates)
        made[name] = [(systems[i], float(share[i])) for i in order if share[i] >= LEAST_SHARE]
    return made


def deltas(
    summary: Summary, columns: Mapping[str, Column], names: Sequence[str], pairs: Sequence[tuple[str, str]], draws: int = DRAWS
) -> list[Delta]:
    """BD-rate of each pair (anchor, test) of series in each column."""
    known = curves(summary)
    if summary.scores is None or not names:
        return []
    estimates, sample = _qualities(summary, columns, names, draws)
    place = {system: n for n, system in enumerate(summary.scores.systems)}
    made = []
    for anchor, test in pairs:
        sides = [([summary.kbps(s) for s in known[one]], [place[s] for s in known[one]]) for one in (anchor, test)]
        (rates_a, at_a), (rates_b, at_b) = sides
        for c, name in enumerate(names):
            nan = float("nan")
            try:
                value = bd_rate(rates_a, estimates[at_a, c], rates_b, estimates[at_b, c])
            except NoDelta as error:
                made.append(Delta(anchor, test, name, nan, nan, nan, str(error)))
                continue
            drawn = []
            for one in sample:
                try:
                    drawn.append(bd_rate(rates_a, one[at_a, c], rates_b, one[at_b, c]))
                except NoDelta:
                    continue
            low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) >= LEAST_DRAWS * len(sample) else (nan, nan)
            made.append(Delta(anchor, test, name, value, float(low), float(high)))
    return made


def _share(value: float) -> str:
    return f"{100 * value:+.0f} %"


def told(delta: Delta) -> str:
    """`-23 % [-31 %, -12 %]`, or why there is none."""
    if delta.why:
        return f"none: {delta.why}"
    bounds = "too few draws have one" if math.isnan(delta.low) else f"{_share(delta.low)}, {_share(delta.high)}"
    return f"{_share(delta.value)} [{bounds}]"


def footer(summary: Summary, columns: Mapping[str, Column]) -> str:
    """The table's part on rates as markdown: fronts, and BD-rate of each family against the one with most rates. Empty where
    fewer than two systems have a rate."""
    names = drawn_columns(summary, columns)
    if len(measured(summary)) < 2 or not names:
        return ""
    lines = []
    for name, some in fronts(summary, columns, names).items():
        listed = ", ".join(f"{code(system)} ({100 * share:.0f} %)" for system, share in some)
        lines.append(f"- {column_of(name, columns).title}: {listed}")
    text = "Pareto front over the measured rate (share of draws in which no other codec has as few bits and as good a score):\n\n"
    text += "\n".join(lines)
    known = curves(summary)
    if len(known) < 2:
        return text
    anchor = max(sorted(known), key=lambda one: len(known[one]))
    found = deltas(summary, columns, names[:2], [(anchor, other) for other in known if other != anchor])
    head = ["codec", *(column_of(name, columns).title for name in names[:2])]
    of = {(delta.test, delta.column): told(delta) for delta in found}
    rows = [[code(other), *(of[other, name] for name in names[:2])] for other in known if other != anchor]
    text += f"\n\nBD-rate against {code(anchor)} (bits more or fewer for the same score; 95 % interval):\n\n"
    return text + markdown_table(head, rows)


def between(summary: Summary, columns: Mapping[str, Column], a: str, b: str) -> list[str]:
    """Lines for the families of two systems (or two families by name): BD-rate of b against a in every main score."""
    known = curves(summary)
    sides = [next((name for name in known if one in (name, family(name)) or one in known[name]), "") for one in (a, b)]
    if not all(sides) or sides[0] == sides[1]:
        return []
    names = drawn_columns(summary, columns)
    found = deltas(summary, columns, names, [(sides[0], sides[1])])
    return [f"BD-rate of {sides[1]} against {sides[0]}, {column_of(one.column, columns).title}: {told(one)}" for one in found]


def compared(rows: pd.DataFrame | Sequence[Part], a: str, b: str, columns: Mapping[str, Column]) -> list[str]:
    """`between` of every table in `rows`; only the parts of the two families are looked at."""
    sides = {family(one) for one in (a, b)}
    some = [part for part in parts_of(rows) if family(str(part.kinds["codec"].iloc[0])) in sides]
    if len(sides) < 2 or not some:
        return []
    return [line for summary in summaries(some, columns, DRAWS) for line in between(summary, columns, a, b)]
