"""How well each metric ranks systems as the listeners did: Spearman's rank correlation over the systems of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.metrics import Column
from bench.report.columns import column_of, score_names
from bench.report.summary import Summary

LISTENED = ("mushra", "ab_preference")
FEWEST = 4
"""Systems below which a rank correlation says nothing."""


@dataclass(frozen=True)
class Agreement:
    """rho: Spearman's, positive where the metric calls better what the listeners did. systems: how many both scored."""

    title: str
    rho: float
    systems: int


def agreement(summary: Summary, columns: Mapping[str, Column]) -> list[Agreement]:
    """The metrics of a table against its listeners' column, the best first; empty where nobody listened."""
    listened = next((name for name in LISTENED if name in summary.columns), None)
    if listened is None:
        return []
    found = []
    for name in score_names(summary.columns, columns):
        cells = [(summary.cells.get((system, listened)), summary.cells.get((system, name)))
                 for system in summary.systems if summary.competes(system)]  # fmt: skip
        both = [(a.value, b.value) for a, b in cells if a is not None and b is not None and np.isfinite([a.value, b.value]).all()]
        if name in LISTENED or name == "abx" or len(both) < FEWEST:
            continue
        column = column_of(name, columns)
        sign = 1.0 if column.better == "higher" else -1.0
        rho = spearman([a for a, _ in both], [sign * b for _, b in both])
        if np.isfinite(rho):
            found.append(Agreement(column.title, rho, len(both)))
    return sorted(found, key=lambda one: -one.rho)


def spearman(a: list[float], b: list[float]) -> float:
    """Correlation of ranks, equal values sharing their mean rank; NaN where one side is constant."""
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(a), rankdata(b)])
    return float(np.corrcoef(ranks)[0, 1]) if (ranks.std(axis=1) > 0).all() else float("nan")


def line(summary: Summary, columns: Mapping[str, Column]) -> str:
    """The agreement as one sentence; empty where nobody listened or too few systems were heard."""
    found = agreement(summary, columns)
    told = ", ".join(f"{one.title} {one.rho:.2f} ({one.systems} systems)" for one in found)
    return f"Rank correlation with the listeners (Spearman, over systems): {told}." if told else ""
