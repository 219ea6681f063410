"""Rows as arrays: from the long table of results to terms that can be resampled.

A row is one utterance x system x column. A system is a codec with the weights it ran with, because
`focalcodec@50` with nano weights and with official weights are two different things.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.stats import bootstrap
from bench.stats.bootstrap import DRAWS, SEED, Floats, Scheme
from bench.stats.labels import system_labels

if TYPE_CHECKING:
    import pandas as pd

Bools = NDArray[np.bool_]
GROUP = ("task", "condition", "dataset", "dataset_sha256")
TEXT = (
    *GROUP,
    "codec",
    "weights",
    "weights_sha256",
    "utterance",
    "speaker",
    "language",
    "column",
    "metric",
    "metric_version",
    "failure",
    "detail",
    "code_version",
    "settings",
    "device",
)


@dataclass(frozen=True)
class Group:
    """One table: a task on one list of speech under one condition."""

    task: str
    condition: str
    dataset: str
    dataset_sha256: str

    def __str__(self) -> str:
        return " / ".join(part for part in (self.task, self.dataset, self.condition) if part)


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
    for name in ("value", "num", "den", "seconds"):
        out[name] = pd.to_numeric(out[name], errors="coerce").astype("float64")
    return out


def groups(rows: pd.DataFrame) -> Iterator[tuple[Group, pd.DataFrame]]:
    """The rows of each task x data list x condition, in order of first appearance."""
    for key, part in rows.groupby(list(GROUP), sort=False, dropna=False):
        yield Group(*(str(value) if isinstance(value, str) else "" for value in key)), part


@dataclass(frozen=True)
class Scores:
    """Scores of one group. n utterances, S systems, C columns.

    num, den [n, S, C]: terms of each column, den 0 where there is no score. failed [n, S, C]: a typed failure.
    present [n, S, C]: the row exists at all.
    """

    utterances: tuple[str, ...]
    speakers: NDArray[np.str_]
    systems: tuple[str, ...]
    columns: tuple[str, ...]
    num: Floats
    den: Floats
    failed: Bools
    present: Bools

    @property
    def scored(self) -> Bools:
        """[n, S, C]: where there is a score."""
        return self.den > 0

    @property
    def speaker_count(self) -> int:
        """Distinct speakers."""
        return len(np.unique(self.speakers)) if len(self.speakers) else 0

    @cached_property
    def estimates(self) -> Floats:
        """Corpus value of each system and column [S, C]; NaN where nothing was scored."""
        return bootstrap.ratio(np.stack([self.num.sum(axis=0), self.den.sum(axis=0)], axis=-1))

    def draws(self, scheme: Scheme, draws: int = DRAWS, seed: int = SEED) -> Floats:
        """Bootstrap values [draws, S, C], every system and column under the same resampled utterances."""
        design = bootstrap.plan(len(self.utterances), self.speakers, scheme)
        shape = self.num.shape[1:]
        if design.units < 2:
            return np.full((1, *shape), np.nan)
        flat = np.concatenate([self.num.reshape(len(self.num), -1), self.den.reshape(len(self.den), -1)], axis=1)
        top, bottom = np.split(bootstrap.draw_sums(flat, design, draws, seed), 2, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(bottom > 0, top / bottom, np.nan).reshape(-1, *shape)

    def pick(self, names: Sequence[str]) -> Scores:
        """The same utterances and systems with some of the columns."""
        at = [self.columns.index(name) for name in names]
        pick = (slice(None), slice(None), at)
        return replace(
            self,
            columns=tuple(names),
            num=self.num[pick],
            den=self.den[pick],
            failed=self.failed[pick],
            present=self.present[pick],
        )

    def df(self, scheme: Scheme) -> int:
        """Degrees of freedom of a bootstrap by `scheme`."""
        return bootstrap.plan(len(self.utterances), self.speakers, scheme).df

    def pair(self, a: int, b: int, column: int) -> tuple[Floats, NDArray[np.str_]]:
        """Terms (num a, den a, num b, den b) [m, 4] and speakers [m] over the utterances that both systems scored."""
        common = self.scored[:, a, column] & self.scored[:, b, column]
        pick = (common, slice(None), column)
        num, den = self.num[pick], self.den[pick]
        return np.stack([num[:, a], den[:, a], num[:, b], den[:, b]], axis=1), self.speakers[common]


def scores(rows: pd.DataFrame, labels: pd.Series[Any] | None = None, columns: Sequence[str] | None = None) -> Scores:
    """Arrays of one group's rows. Raises BenchError where two rows claim the same place."""
    import pandas as pd

    rows = tidy(rows)
    if columns is not None:
        rows = rows[rows["column"].isin(list(columns))]
    names = (system_labels(rows) if labels is None else labels.loc[rows.index]).to_numpy()
    utterance = rows["utterance"].astype(str).to_numpy()
    where = pd.DataFrame({"system": names, "utterance": utterance, "column": rows["column"].astype(str).to_numpy()})
    doubled = where.duplicated()
    if doubled.any():
        first = where[doubled].iloc[0]
        raise BenchError(
            f"two rows for {first['system']}, utterance '{first['utterance']}', column '{first['column']}': "
            "make the table from one run, or drop the older rows"
        )
    s, systems = pd.factorize(where["system"])
    c, found = pd.factorize(where["column"])
    order = [list(found).index(name) for name in columns if name in set(found)] if columns is not None else []
    u, ids = pd.factorize(where["utterance"], sort=True)
    shape = (len(ids), len(systems), len(found))
    num, den = np.zeros(shape), np.zeros(shape)
    failed, present = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    value, top, bottom = (rows[name].to_numpy() for name in ("value", "num", "den"))
    is_ratio = np.isfinite(top) & np.isfinite(bottom)
    fault = (rows["failure"] != "").to_numpy()
    usable = ~fault & (is_ratio | np.isfinite(value))
    num[u, s, c] = np.where(usable, np.where(is_ratio, top, value), 0.0)
    den[u, s, c] = np.where(usable, np.where(is_ratio, bottom, 1.0), 0.0)
    # a value that is neither a number nor a named failure is still no score
    failed[u, s, c] = ~usable
    present[u, s, c] = True
    speaker = np.full(len(ids), "", dtype=object)
    speaker[u] = rows["speaker"].astype(str).to_numpy()
    if order:
        num, den, failed, present = (x[:, :, order] for x in (num, den, failed, present))
        found = pd.Index([found[i] for i in order])
    return Scores(
        tuple(map(str, ids)), speaker.astype(str), tuple(map(str, systems)), tuple(map(str, found)), num, den, failed, present
    )
