"""The columns that a table shows, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.columns import ENGINE, LISTENING, every_column
from bench.metrics import Column
from bench.results.publish import RATE_DISTORTION
from bench.tasks import cards

if TYPE_CHECKING:
    import pandas as pd


def named(task: str, profile: str) -> tuple[str, ...]:
    """The columns that the table of a task shows under a profile."""
    return cards.load(task).columns or cards.profile(profile).columns


def shown(rows: pd.DataFrame, asked: Sequence[str] = ()) -> dict[str, Column]:
    """The columns of `rows` in the order they are shown: the profile's, then the engine's, then what else was asked for.

    Of a metric that the profile names, only the named columns are shown (the rows keep all of them), and those `asked` for.
    """
    known = every_column()
    wanted = (*named(str(rows["task"].iloc[0]), str(rows["profile"].iloc[0])), *asked)
    pairs = rows[["metric", "column"]].astype(str).drop_duplicates()
    chosen = set(pairs.loc[pairs["column"].isin(wanted), "metric"])
    present = set(pairs.loc[pairs["column"].isin(wanted) | ~pairs["metric"].isin(chosen), "column"])
    order = dict.fromkeys([*LISTENING, *wanted, *ENGINE, *known])
    return {name: known[name] for name in order if name in present and name in known}


def plot(rows: pd.DataFrame) -> str:
    """The plot that belongs to a table of `rows`, as the task's card says."""
    return str(cards.load(str(rows["task"].iloc[0])).settings.get("plot", RATE_DISTORTION))
