"""Notes on the originals of a table: what is odd about the recordings themselves, which no codec is to be blamed for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SILENT_DBFS = -80.0
"""Below, as in metrics, an original counts as silent."""
INTEGER_PEAK = 8.0
ORIGINAL = ("original_channels", "original_peak", "original_dbfs", "original_offset", "original_wraps")
"""Columns of `bench.validity.facts.original_facts`: a row stands only where there is something to tell."""
NAMED = 3


def original_notes(rows: pd.DataFrame) -> list[str]:
    """One line per oddity of the originals in `rows` (of one table): what, how many of how many, the first ids."""
    import numpy as np

    total = rows["utterance"].nunique()
    odd = rows[rows["column"].astype(str).isin(ORIGINAL) & rows["value"].notna()]
    if odd.empty:
        return []
    odd = odd.assign(column=odd["column"].astype(str), utterance=odd["utterance"].astype(str))
    value = odd.groupby(["utterance", "column"])["value"].first().astype(float).unstack()
    for name in ORIGINAL:
        if name not in value:
            value[name] = np.nan
    several = value["original_channels"] > 1
    silent, peak = value["original_dbfs"] < SILENT_DBFS, value["original_peak"]
    kinds = (
        (several & ~silent, "had several channels, which were averaged"),
        (several & silent, "silent after averaging channels"),
        (silent & ~several, "silent (below -80 dBFS); not scored by metrics that need speech"),
        ((value["original_dbfs"] >= SILENT_DBFS), "very quiet (below -70 dBFS)"),
        ((peak > 1) & (peak <= INTEGER_PEAK), "exceeded full scale and were divided by their peak"),
        (peak > INTEGER_PEAK, "held floats in the range of integers and were divided by its full scale"),
        (value["original_offset"].notna(), "with a constant offset, which level, pairing and similarity facts leave out"),
        (value["original_wraps"] > 0, "with samples that run over full scale and go on at the other end (overflowed integers)"),
    )
    return [f"originals: {_some(list(value.index[hit]), total)} {what}" for hit, what in kinds if hit.any()]


def _some(names: Sequence[str], total: int) -> str:
    shown = ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
    return f"{len(names)} of {total} ({shown})"
