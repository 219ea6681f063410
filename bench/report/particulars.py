"""What a table says of its rows beside the scores: seconds of speech, failures and their reasons, versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.stats.items import KEY, Items
from bench.stats.parts import Part
from bench.stats.resampling import Floats
from bench.stats.scores import Bools, failing, of_columns
from bench.stats.tables import Table

if TYPE_CHECKING:
    import pandas as pd

NOT_CODED = ("ceiling", "reference")
"""Roles whose seconds are not those of the speech that was coded."""


def seconds(table: Table) -> float:
    """Seconds of speech that was coded: of each utterance the median over systems, ceilings and references apart."""
    roles = [set(part.kinds["role"]) for part in table.parts]
    coded = [part for part, role in zip(table.parts, roles, strict=True) if not role & set(NOT_CODED)]
    # systems mostly agree: each distinct answer is kept once, with its count
    answers: list[tuple[Floats, int]] = []
    for part in coded or table.parts:
        mine = _seconds(part, table.items)
        for n, (other, count) in enumerate(answers):
            if np.array_equal(mine, other, equal_nan=True):
                answers[n] = (other, count + 1)
                break
        else:
            answers.append((mine, 1))
    if len(answers) == 1:
        return float(np.nansum(answers[0][0]))
    every = np.repeat(np.stack([one for one, _ in answers]), [count for _, count in answers], axis=0)
    known = ~np.isnan(every).all(axis=0)
    return float(np.nanmedian(every[:, known], axis=0).sum())


def _seconds(part: Part, items: Items) -> Floats:
    """Seconds of each utterance [utterances]; NaN where a part tells none."""
    out = np.full(items.utterances, np.nan)
    for rows in part.slices((*KEY, "seconds")):
        given, place = rows["seconds"].to_numpy(), items.places(rows)
        place = place if items.utterance is None else items.utterance[place]
        fresh = ~np.isnan(given) & np.isnan(out[place])
        out[place[fresh][::-1]] = given[fresh][::-1]  # the first one counts
    return out


def failures(kinds: pd.DataFrame) -> dict[tuple[str, str], dict[str, int]]:
    """(system, column) -> kind of failure -> how many."""
    out: dict[tuple[str, str], dict[str, int]] = {}
    counted = kinds[kinds["failure"] != ""].groupby(["system", "column", "failure"], sort=False)["count"].sum()
    for (system, column, kind), count in counted.items():
        out.setdefault((str(system), str(column)), {})[str(kind)] = int(count)
    return out


def reasons(table: Table, names: Sequence[str]) -> dict[str, tuple[str, int, str]]:
    """System -> (commonest kind of failure in the columns `names`, items that failed so, the detail of one of them)."""
    out = {}
    kinds = table.kinds
    failed = set(kinds.loc[(kinds["failure"] != "") & kinds["column"].isin(list(names)), "system"])
    for system, part in zip(table.systems, table.parts, strict=True):
        if system in failed:
            out[system] = _reason(part, table.items, names)
    return out


def _reason(part: Part, items: Items, names: Sequence[str]) -> tuple[str, int, str]:
    hit: dict[str, Bools] = {}
    detail: dict[str, str] = {}
    for rows in part.slices((*KEY, "column", "failure", "detail")):
        rows, _ = of_columns(rows.filter(failing(rows)), names)
        if not len(rows):
            continue
        place = items.places(rows)
        kind = np.array(rows["failure"].to_pylist(), dtype=object)
        for name in dict.fromkeys(kind):
            mine = kind == name
            hit.setdefault(name, np.zeros(len(items), bool))[place[mine]] = True
            detail.setdefault(name, rows["detail"][int(np.flatnonzero(mine)[0])].as_py() or "")
    most = max(hit, key=lambda name: int(hit[name].sum()))
    return most, int(hit[most].sum()), detail[most]


def versions(kinds: pd.DataFrame) -> dict[str, str]:
    """Metric -> versions, and code and device, as one line each."""
    out: dict[str, str] = {}
    pairs = kinds.loc[kinds["metric"] != "", ["metric", "metric_version"]].astype(str).drop_duplicates()
    if len(pairs):
        out["metrics"] = ", ".join(sorted(f"{m} {v}" for m, v in pairs.itertuples(index=False)))
    for name in ("code_version", "device", "threads"):
        values = sorted({str(value) for value in kinds[name]} - {""})
        if values:
            out[name.replace("_", " ")] = ", ".join(values)
    return out


def anywhere(kinds: pd.DataFrame, name: str) -> bool:
    """Whether some row says so."""
    return bool((kinds[name].astype(str) == "True").any())
