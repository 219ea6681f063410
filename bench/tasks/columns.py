"""Columns that a task derives from a metric's: the same score against another reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.metrics import Column

TO_SOURCE = "_to_source"


def derived(known: Mapping[str, Column]) -> dict[str, Column]:
    """`known` and, for every column, its twin against the source utterance of a conversion."""
    made = dict(known)
    for name, column in known.items():
        # Likeness to the source's voice is what a conversion should lose.
        better = "lower" if name.startswith("sim_") else column.better
        made[name + TO_SOURCE] = replace(column, name=name + TO_SOURCE, title=f"{column.title} to source", better=better)
    return made
