"""Rows in memory, as a DataFrame: text as text, and the groups that are tables of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.stats.parts import GROUP, NUMBERS
from bench.stats.tables import Group

if TYPE_CHECKING:
    import pandas as pd

TEXT = (
    *GROUP, "codec", "weights", "weights_sha256", "utterance", "speaker", "language", "column", "metric", "metric_version",
    "failure", "detail", "code_version", "settings", "device",
)  # fmt: skip


def tidy(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with text as text: categories become strings, and what is missing in a name becomes "".

    Idempotent. Rows of several runs put together get an index of their own.
    """
    import pandas as pd

    out = rows.copy(deep=False) if rows.index.is_unique else rows.reset_index(drop=True)
    for name in out.columns:
        if isinstance(out[name].dtype, pd.CategoricalDtype) or name in TEXT:
            text = out[name].astype(object)
            out[name] = text.where(text.notna(), "").astype(object)
    for name in NUMBERS:
        out[name] = pd.to_numeric(out[name], errors="coerce").astype("float64")
    return out


def groups(rows: pd.DataFrame) -> Iterator[tuple[Group, pd.DataFrame]]:
    """The rows of each task x data list x condition, in order of first appearance."""
    for key, part in rows.groupby(list(GROUP), sort=False, dropna=False):
        yield Group(*(str(value) if isinstance(value, str) else "" for value in key)), part
