"""Notes on the originals of a table: what is odd about the recordings themselves, which no codec is to be blamed for."""

from __future__ import annotations

from collections.abc import Sequence

from bench.stats.items import KEY, Items
from bench.stats.parts import Part
from bench.stats.scores import of_columns

SILENT_DBFS = -80.0
"""Below, as in metrics, an original counts as silent."""
INTEGER_PEAK = 8.0
ORIGINAL = ("original_channels", "original_peak", "original_dbfs", "original_offset", "original_wraps")
"""Columns of `bench.validity.facts.original_facts`: a row stands only where there is something to tell."""
NAMED = 3


def original_notes(parts: Sequence[Part], items: Items) -> list[str]:
    """One line per oddity of the originals of one table: what, how many of how many, the first ids."""
    import numpy as np

    if not any(part.kinds["column"].isin(ORIGINAL).any() for part in parts):
        return []
    value = {name: np.full(len(items), np.nan) for name in ORIGINAL}
    for part in parts:
        for rows in part.slices((*KEY, "column", "value")):
            rows, column = of_columns(rows, ORIGINAL)
            place, given = items.places(rows), rows["value"].to_numpy()
            for k, name in enumerate(ORIGINAL):
                fresh = (column == k) & np.isnan(value[name][place]) & ~np.isnan(given)
                value[name][place[fresh][::-1]] = given[fresh][::-1]  # the first one counts
    several = value["original_channels"] > 1
    silent, peak = value["original_dbfs"] < SILENT_DBFS, value["original_peak"]
    kinds = (
        (several & ~silent, "had several channels, which were averaged"),
        (several & silent, "silent after averaging channels"),
        (silent & ~several, "silent (below -80 dBFS); not scored by metrics that need speech"),
        ((value["original_dbfs"] >= SILENT_DBFS), "very quiet (below -70 dBFS)"),
        ((peak > 1) & (peak <= INTEGER_PEAK), "exceeded full scale and were divided by their peak"),
        (peak > INTEGER_PEAK, "held floats in the range of integers and were divided by its full scale"),
        (~np.isnan(value["original_offset"]), "with a constant offset, which level, pairing and similarity facts leave out"),
        (value["original_wraps"] > 0, "with samples that run over full scale and go on at the other end (overflowed integers)"),
    )
    # one recording is told once, however many outputs it has
    first = np.arange(len(items)) if items.utterance is None else items.utterance
    found = [(np.unique(first[hit], return_index=True)[1], np.flatnonzero(hit), what) for hit, what in kinds if hit.any()]
    return [
        f"originals: {_some(items.utterance_names(hit[once][:NAMED]), len(once), items.utterances)} {what}"
        for once, hit, what in found
    ]


def _some(names: Sequence[str], count: int, total: int) -> str:
    shown = ", ".join(names) + (" ..." if count > len(names) else "")
    return f"{count} of {total} ({shown})"
