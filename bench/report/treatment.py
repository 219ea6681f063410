"""What treating poor speech was good for: whether any treated row reaches the recording that was heard, column by column."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.metrics import Column
from bench.report.columns import column_of, score_names
from bench.report.summary import Summary
from bench.stats.labels import REFERENCE, UNTREATED

CLEAN = "reference@clean"
"""What the treated rows are scored against."""


def line(summary: Summary, columns: Mapping[str, Column]) -> str:
    """One sentence for a table with rows of untreated speech; empty for others."""
    if UNTREATED not in summary.roles.values():
        return ""
    heard = [name for name in summary.systems if summary.roles.get(name) == REFERENCE and name != CLEAN]
    treated = [name for name in summary.systems if summary.competes(name)]
    if len(heard) != 1 or not treated:
        return ""
    short = [column_of(name, columns).title for name in score_names(summary.columns, columns)
             if _below(summary, treated, heard[0], name, column_of(name, columns).better == "higher")]  # fmt: skip
    if not short:
        return f"In every score the best treated row is better than {heard[0]}, which no codec was applied to."
    return f"No treated row is better than {heard[0]}, which no codec was applied to, in {' and '.join(short)}."


def _below(summary: Summary, treated: list[str], heard: str, name: str, upwards: bool) -> bool:
    """Whether every treated row's value is at best as good as that of what was heard; False where one has none."""
    sign = 1.0 if upwards else -1.0
    reference = summary.cells.get((heard, name))
    values = [cell.value for system in treated if (cell := summary.cells.get((system, name))) and np.isfinite(cell.value)]
    return reference is not None and bool(values) and sign * max(values, key=lambda v: sign * v) <= sign * reference.value
