"""Two systems against each other: paired difference of every column with interval, verdict and visible effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.errors import BenchError
from bench.metrics import Column
from bench.report.columns import column_of, heading, margin_of, number, score_names
from bench.report.text import grid, markdown_table
from bench.stats import bootstrap
from bench.stats.items import CLUSTERS_NEEDED, Items
from bench.stats.labels import find_system
from bench.stats.multiple import benjamini_hochberg, holm
from bench.stats.parts import Part
from bench.stats.resampling import DRAWS, SEED
from bench.stats.scores import read_scores
from bench.stats.tables import tables
from bench.stats.verdict import judge_terms

if TYPE_CHECKING:
    import pandas as pd


TOLD = ("bitrate_packed", "bitrate_entropy", "rtf_encode", "rtf_decode")
"""Facts of both systems that stand beside the scores: rates as sent and entropy-coded, and speed."""


@dataclass(frozen=True)
class Line:
    """B against A in one column of one group. Values, differences, margin and visible in the column's own unit.

    low, high: 95 % interval of B - A for these speakers. speakers_low, speakers_high: the same when whole speakers are
    resampled, the claim about other speakers (NaN under 10 speakers). p: two-sided. q: Benjamini-Hochberg over all
    lines. p_holm: Holm over all lines. visible: smallest loss shown with probability 0.8 at this n.
    """

    task: str
    condition: str
    dataset: str
    column: str
    n: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    speakers_low: float
    speakers_high: float
    verdict: str
    margin: float
    visible: float
    p: float
    p_holm: float = float("nan")
    q: float = float("nan")


def compare(
    rows: pd.DataFrame | Sequence[Part],
    a: str,
    b: str,
    columns: Mapping[str, Column],
    draws: int = DRAWS,
    seed: int = SEED,
) -> pd.DataFrame:
    """One line per column and group that both systems scored; fields of `Line`.

    a, b: `focalcodec@50`, or `focalcodec@50 [nano]` where several weights ran. Only utterances that both scored count.
    A column without a margin is judged by half of its last printed digit.
    """
    import pandas as pd

    every = tables(rows)
    known = sorted({system for table in every for system in table.systems})
    first, second = find_system(known, a), find_system(known, b)
    if first == second:
        raise BenchError(f"'{a}' and '{b}' are the same system, {first}: name two")
    lines: list[Line] = []
    for whole in every:
        if not {first, second} <= set(whole.systems):
            continue
        table = whole.of((first, second))
        there = table.kinds["column"].unique()
        data = read_scores(table, score_names(there, columns) + [name for name in TOLD if name in set(there)])
        for c, name in enumerate(data.columns):
            terms, common = data.pair(0, 1, c)
            if len(terms):
                where = (table.group.task, table.group.condition, table.group.dataset)
                column = column_of(name, columns)
                line = _line(where, column, terms, common, draws, seed)
                nan = float("nan")
                lines.append(replace(line, verdict="", margin=nan, visible=nan, p=nan) if name in TOLD else line)
    if not lines:
        raise BenchError(f"{first} and {second} have no scores of the same utterances: run both on the same data")
    table = pd.DataFrame([asdict(line) for line in lines])
    # Rates and speeds are told, not tested: they take no part in the correction for many tests.
    tested = ~table["column"].isin(TOLD)
    p = table.loc[tested, "p"].fillna(1.0).to_numpy()
    table.loc[tested, "p_holm"], table.loc[tested, "q"] = holm(p), benjamini_hochberg(p)
    return table.assign(system_a=first, system_b=second)


def _line(
    where: tuple[str, str, str],
    column: Column,
    terms: bootstrap.Floats,
    items: Items,
    draws: int,
    seed: int,
) -> Line:
    total = terms.sum(axis=0)
    up = column.better == "higher"
    found = judge_terms(terms, items.plan("stratified"), margin_of(column), up, draws=draws, seed=seed)
    wide = (float("nan"), float("nan"))
    if len(items.speakers) >= CLUSTERS_NEEDED:
        over = bootstrap.planned_interval(terms, bootstrap.difference, items.plan("cluster"), "expanded", 0.95, draws, seed)
        wide = (over.low, over.high)
    p = min(1.0, 2 * min(found.p_worse, found.p_better))
    return Line(
        *where,
        column.name,
        len(terms),
        float(bootstrap.ratio(total[:2])),
        float(bootstrap.ratio(total[2:])),
        found.difference,
        found.low,
        found.high,
        *wide,
        found.word,
        margin_of(column),
        found.visible,
        p,
    )


HEAD = ("column", "n", "A", "B", "B - A", "95 % interval", "other speakers", "verdict", "margin", "visible", "q")


def terminal(table: pd.DataFrame, columns: Mapping[str, Column], width: int = 140) -> str:
    """The comparison as text, one block per group."""
    out = [f"A = {table['system_a'].iloc[0]}, B = {table['system_b'].iloc[0]}"]
    for key, part in table.groupby(["task", "dataset", "condition"], sort=False):
        out += ["", " | ".join(map(str, key)), grid(HEAD, _cells(part, columns), width, left=(0, 7)), "", in_words(part, columns)]
    return "\n".join([*out, "", *NOTES]) + "\n"


def markdown(table: pd.DataFrame, columns: Mapping[str, Column], level: int = 2) -> str:
    """The comparison as GitHub markdown."""
    out = [f"A = `{table['system_a'].iloc[0]}`, B = `{table['system_b'].iloc[0]}`", ""]
    for key, part in table.groupby(["task", "dataset", "condition"], sort=False):
        out += [
            f"{'#' * level} {' · '.join(map(str, key))}",
            "",
            markdown_table(HEAD, _cells(part, columns)),
            "",
            in_words(part, columns),
            "",
        ]
    return "\n".join([*out, *("- " + note for note in NOTES)]) + "\n"


def in_words(part: pd.DataFrame, columns: Mapping[str, Column]) -> str:
    """What the lines of one group say, in sentences that name the systems: where each is better, and which is cheaper."""
    a, b = str(part["system_a"].iloc[0]), str(part["system_b"].iloc[0])
    titles: dict[str, list[str]] = {}
    for line in part.itertuples(index=False):
        if line.verdict:
            titles.setdefault(line.verdict, []).append(column_of(line.column, columns).title)
    better, worse, same, unknown = (titles.get(word, []) for word in ("better", "worse", "same", "cannot tell"))
    if better and not worse:
        said = [f"{b} is the better system here: better in {_listed(better)}, worse in nothing."]
    elif worse and not better:
        said = [f"{a} is the better system here: better in {_listed(worse)}, worse in nothing."]
    elif better:
        said = [f"{a} is better in {_listed(worse)}; {b} is better in {_listed(better)}."]
    else:
        said = [f"Neither {a} nor {b} is shown to be better."]
    if same:
        said.append(f"They are the same within the margin in {_listed(same)}.")
    if unknown:
        said.append(f"{part['n'].max()} utterances cannot tell them apart in {_listed(unknown)}.")
    facts = part.set_index("column")
    if "bitrate_packed" in facts.index:
        rates = facts.loc["bitrate_packed", ["a", "b"]].astype(float)
        cheap, dear = (a, b) if rates["a"] <= rates["b"] else (b, a)
        low, high = sorted(rates)
        said.append(f"{cheap} sends {low:.3g} kbps, {dear} {high:.3g}." if low < high else f"Both send {low:.3g} kbps.")
    if {"rtf_encode", "rtf_decode"} <= set(facts.index):
        times = facts.loc[["rtf_encode", "rtf_decode"], ["a", "b"]].astype(float).sum()
        fast, slow = (a, b) if times["a"] <= times["b"] else (b, a)
        low, high = sorted(times)
        if low > 0:
            said.append(f"{fast} takes {low:.3g} s for a second of audio, {slow} {high:.3g} s.")
    return " ".join(said)


def _listed(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"


NOTES = (
    f"verdict: about these speakers, from the one-sided 95 % bounds of B - A and the margin (bootstrap of utterances "
    f"within speakers, {DRAWS:,} draws). same: shown to lie within the margin.",
    "other speakers: 95 % interval when whole speakers are resampled. visible: smallest loss this n shows with "
    "probability 0.8. q: Benjamini-Hochberg over all lines with a verdict. Rates and speeds are told, not judged.",
)


def _cells(part: pd.DataFrame, columns: Mapping[str, Column]) -> list[list[str]]:
    out = []
    for line in part.itertuples(index=False):
        column = column_of(line.column, columns)
        fine = replace(column, decimals=column.decimals + 1)  # a difference needs a digit more than a value
        spread = f"[{number(line.low, fine)}, {number(line.high, fine)}]"
        others = f"[{number(line.speakers_low, fine)}, {number(line.speakers_high, fine)}]"
        out.append(
            [
                heading(column),
                str(line.n),
                number(line.a, column),
                number(line.b, column),
                f"{'+' if line.difference > 0 else ''}{number(line.difference, fine)}",
                spread,
                "–" if np.isnan(line.speakers_low) else others,
                line.verdict,
                number(line.margin, fine),
                number(line.visible, fine),
                "–" if np.isnan(line.q) else f"{line.q:.3f}",
            ]
        )
    return out
