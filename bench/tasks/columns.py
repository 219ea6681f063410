"""The columns of tables: every one that there is, those that a table shows, and those derived from a metric's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.metrics import Column
from bench.results.publish import RATE_DISTORTION
from bench.results.rows import ENGINE_COLUMNS
from bench.results.rows import columns as measured
from bench.tasks import cards

if TYPE_CHECKING:
    import pandas as pd

TO_SOURCE = "_to_source"


def derived(known: Mapping[str, Column]) -> dict[str, Column]:
    """`known` and, for every column, its twin against the source utterance of a conversion."""
    made = dict(known)
    for name, column in known.items():
        # Likeness to the source's voice is what a conversion should lose.
        better = "lower" if name.startswith("sim_") else column.better
        made[name + TO_SOURCE] = replace(column, name=name + TO_SOURCE, title=f"{column.title} to source", better=better)
    return made


def columns() -> dict[str, Column]:
    """Column name -> Column: every metric's, the engine's, the probes', of chunks and conversion's."""
    from bench.probes.columns import COLUMNS as PROBED
    from bench.tasks.chunks import COLUMNS as CHUNKED

    return derived({**measured(), **PROBED, **CHUNKED})


def named(task: str, profile: str) -> tuple[str, ...]:
    """The columns that the table of a task shows under a profile."""
    return cards.load(task).columns or cards.profile(profile).columns


def shown(rows: pd.DataFrame, asked: Sequence[str] = ()) -> dict[str, Column]:
    """The columns of `rows` in the order they are shown: the profile's, then the engine's, then what else was asked for.

    Of a metric that the profile names, only the named columns are shown (the rows keep all of them), and those `asked` for.
    """
    known = columns()
    wanted = (*named(str(rows["task"].iloc[0]), str(rows["profile"].iloc[0])), *asked)
    pairs = rows[["metric", "column"]].astype(str).drop_duplicates()
    chosen = set(pairs.loc[pairs["column"].isin(wanted), "metric"])
    present = set(pairs.loc[pairs["column"].isin(wanted) | ~pairs["metric"].isin(chosen), "column"])
    order = dict.fromkeys([*wanted, *ENGINE_COLUMNS, *known])
    return {name: known[name] for name in order if name in present and name in known}


def plot(rows: pd.DataFrame) -> str:
    """The plot that belongs to a table of `rows`, as the task's card says."""
    return str(cards.load(str(rows["task"].iloc[0])).settings.get("plot", RATE_DISTORTION))
