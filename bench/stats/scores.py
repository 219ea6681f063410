"""Scores of one table as arrays that can be resampled.

A row is one utterance x system x column. A system is a codec with the weights it ran with, because
`focalcodec@50` with nano weights and with official weights are two different things.

What is kept of a system and column does not grow with the set but for three bits an utterance: sums, sums per unit that is
resampled, and masks. Terms of every utterance are read again where they are needed, unless the table is small.
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
from bench.stats.items import KEY, Items
from bench.stats.labels import system_labels
from bench.stats.parts import Part, in_memory
from bench.stats.resampling import DRAWS, SEED, Floats, Scheme, draw_unit_sums
from bench.stats.tables import Group, Table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Bools = NDArray[np.bool_]
States = NDArray[np.uint8]
ABSENT, FAILED, SCORED = 0, 1, 2
HELD = 1 << 26
"""Bytes of terms that stay in memory; a pass over a system's rows fills as many."""
_CELL = 17
"""Bytes of one utterance's terms: numerator, denominator, state."""


@dataclass(frozen=True)
class Terms:
    """One system's terms in some columns: num, den [k, n], den 0 where there is no score; state [k, n]."""

    num: Floats
    den: Floats
    state: States


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one table. n items (utterances, or their outputs), S systems, C columns.

    parts [S]: where the terms are read. totals [S, C, 2]: sums of numerators and denominators. present, failed, scored
    [S, C, n / 8]: masks of items, eight to a byte: the row exists at all, a typed failure, a score.
    """

    items: Items
    systems: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[Part, ...]
    totals: Floats
    masks: States
    _held: dict[tuple[str, str], Terms]
    _units: dict[tuple[str, str, str], Floats]

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """[S, C]: items with a score."""
        return np.bitwise_count(self.masks[SCORED]).sum(axis=-1, dtype=np.intp)

    @cached_property
    def estimates(self) -> Floats:
        """Corpus value of each system and column [S, C]; NaN where nothing was scored."""
        return bootstrap.ratio(self.totals)

    @property
    def speaker_count(self) -> int:
        """Distinct speakers."""
        return len(self.items.speakers)

    def there(self, s: int, c: int) -> bool:
        """Whether a system has rows of a column."""
        return bool(self.masks[ABSENT, s, c].any())

    def alike(self, a: int, b: int, c: int) -> bool:
        """Whether two systems scored the same items in a column."""
        return bool(np.array_equal(self.masks[SCORED, a, c], self.masks[SCORED, b, c]))

    def failures(self, s: int, names: Sequence[str]) -> int:
        """Items of a system that failed in one of the columns `names`, or in several."""
        at = [self.columns.index(name) for name in names if name in self.columns]
        return int(np.bitwise_count(np.bitwise_or.reduce(self.masks[FAILED, s, at], axis=0)).sum()) if at else 0

    def terms(self, s: int, names: Sequence[str]) -> Terms:
        """Terms of a system in the columns `names`."""
        if all((self.systems[s], name) in self._held for name in names):
            held = [self._held[self.systems[s], name] for name in names]
            return Terms(*(np.concatenate([getattr(one, field) for one in held]) for field in ("num", "den", "state")))
        return read_terms(self.parts[s], self.items, names, self.systems[s])

    def draws(self, scheme: Scheme, draws: int = DRAWS, seed: int = SEED) -> Floats:
        """Bootstrap values [draws, S, C], every system and column under the same resampled items."""
        design = self.items.plan(scheme)
        shape = (len(self.systems), len(self.columns))
        if design.units < 2:
            return np.full((1, *shape), np.nan)
        for s, system in enumerate(self.systems):
            missing = [name for name in self.columns if (scheme, system, name) not in self._units]
            for some in _passes(missing, len(self.items)):
                terms = self.terms(s, some)
                for k, name in enumerate(some):
                    self._units[scheme, system, name] = design.sums(np.stack([terms.num[k], terms.den[k]], axis=1))
        every = [self._units[scheme, system, name] for system in self.systems for name in self.columns]
        sums = draw_unit_sums(np.concatenate(every, axis=1) if every else np.zeros((design.units, 0)), design, draws, seed)
        return bootstrap.ratio(sums.reshape(len(sums), *shape, 2))

    def pick(self, names: Sequence[str]) -> Scores:
        """The same items and systems with some of the columns."""
        at = [self.columns.index(name) for name in names]
        return replace(self, columns=tuple(names), totals=self.totals[:, at], masks=self.masks[:, :, at])

    def only(self, chosen: Bools) -> Scores:
        """The same systems and columns with some of the items [n]."""
        some = self.items.only(chosen)
        held, totals, masks = {}, np.zeros_like(self.totals), np.zeros((3, *self.totals.shape[:2], _bytes(len(some))), np.uint8)
        for s, system in enumerate(self.systems):
            for c, name in enumerate(self.columns):
                terms = self.terms(s, [name])
                one = Terms(terms.num[:, chosen], terms.den[:, chosen], terms.state[:, chosen])
                held[system, name] = one
                totals[s, c], masks[:, s, c] = _reduced(one, 0)
        return Scores(some, self.systems, self.columns, self.parts, totals, masks, held, {})

    def df(self, scheme: Scheme) -> int:
        """Degrees of freedom of a bootstrap by `scheme`."""
        return self.items.plan(scheme).df

    def pair(self, a: int, b: int, column: int) -> tuple[Floats, Items]:
        """Terms (num a, den a, num b, den b) [m, 4] of the items that both systems scored, and these items."""
        one, other = (self.terms(s, [self.columns[column]]) for s in (a, b))
        common = (one.den[0] > 0) & (other.den[0] > 0)
        terms = np.stack([x[0][common] for x in (one.num, one.den, other.num, other.den)], axis=1)
        return terms, self.items.only(common)

    # Whole arrays [n, S, C]: for tables that are known to be small.

    @cached_property
    def num(self) -> Floats:
        """Numerators [n, S, C]; 0 where there is no score."""
        return self._whole("num")

    @cached_property
    def den(self) -> Floats:
        """Denominators [n, S, C]; 0 where there is no score."""
        return self._whole("den")

    @property
    def scored(self) -> Bools:
        """[n, S, C]: where there is a score."""
        return self._mask(SCORED)

    @property
    def failed(self) -> Bools:
        """[n, S, C]: where there is a typed failure, or a value that is no number."""
        return self._mask(FAILED)

    @property
    def present(self) -> Bools:
        """[n, S, C]: where there is a row at all."""
        return self._mask(ABSENT)

    def _whole(self, field: str) -> Floats:
        every = [getattr(self.terms(s, self.columns), field) for s in range(len(self.systems))]
        return np.stack(every).transpose(2, 0, 1) if every else np.zeros((len(self.items), 0, len(self.columns)))

    def _mask(self, which: int) -> Bools:
        return np.unpackbits(self.masks[which], axis=-1, count=len(self.items)).astype(bool).transpose(2, 0, 1)


def _bytes(n: int) -> int:
    return -(-n // 8)


def _passes(names: Sequence[str], n: int) -> Iterator[list[str]]:
    """As many columns at a time as HELD bytes hold."""
    most = max(1, HELD // (_CELL * max(n, 1)))
    for at in range(0, len(names), most):
        yield list(names[at : at + most])


def _reduced(terms: Terms, k: int) -> tuple[Floats, States]:
    """(sums [2], masks [3, n / 8]) of the column at `k`: present, failed, scored."""
    state = terms.state[k]
    masks = np.stack([np.packbits(state != ABSENT), np.packbits(state == FAILED), np.packbits(terms.den[k] > 0)])
    return np.array([terms.num[k].sum(), terms.den[k].sum()]), masks


def read_scores(table: Table, names: Sequence[str]) -> Scores:
    """Scores of a table in the columns `names` of which there are rows. Raises BenchError where two rows claim one place."""
    there = set(table.kinds["column"])
    columns = tuple(name for name in dict.fromkeys(names) if name in there)
    n, shape = len(table.items), (len(table.systems), len(columns))
    totals, masks = np.zeros((*shape, 2)), np.zeros((3, *shape, _bytes(n)), np.uint8)
    held: dict[tuple[str, str], Terms] = {}
    hold = n * shape[0] * shape[1] * _CELL <= HELD
    place = {name: c for c, name in enumerate(columns)}
    for s, (system, part) in enumerate(zip(table.systems, table.parts, strict=True)):
        for some in _passes(columns, n):
            terms = read_terms(part, table.items, some, system)
            for k, name in enumerate(some):
                totals[s, place[name]], masks[:, s, place[name]] = _reduced(terms, k)
                if hold:
                    held[system, name] = Terms(terms.num[k : k + 1], terms.den[k : k + 1], terms.state[k : k + 1])
    return Scores(table.items, table.systems, columns, table.parts, totals, masks, held, {})


def read_terms(part: Part, items: Items, names: Sequence[str], system: str = "") -> Terms:
    """Terms of one system's rows in the columns `names`. Raises BenchError where two rows claim one place."""
    n, k = len(items), len(names)
    num, den, state = np.zeros(k * n), np.zeros(k * n), np.zeros(k * n, np.uint8)
    rows_read = 0
    for rows in part.slices((*KEY, "column", "value", "num", "den", "failure")):
        rows, column = of_columns(rows, names)
        if not len(rows):
            continue
        value, top, bottom = (rows[name].to_numpy() for name in ("value", "num", "den"))
        is_ratio = np.isfinite(top) & np.isfinite(bottom)
        usable = ~failing(rows) & (is_ratio | np.isfinite(value))
        place = column * n + items.places(rows)
        num[place] = np.where(usable, np.where(is_ratio, top, value), 0.0)
        den[place] = np.where(usable, np.where(is_ratio, bottom, 1.0), 0.0)
        # a value that is neither a number nor a named failure is still no score
        state[place] = np.where(usable, SCORED, FAILED)
        rows_read += len(rows)
    if rows_read > np.count_nonzero(state):
        raise BenchError(_doubled(part, items, names, system))
    return Terms(num.reshape(k, n), den.reshape(k, n), state.reshape(k, n))


def of_columns(rows: pa.Table, names: Sequence[str]) -> tuple[pa.Table, NDArray[np.intp]]:
    """The rows of some columns, and the place of each row's column in `names`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = rows["column"].combine_chunks()
    at = pc.index_in(column.dictionary, value_set=pa.array(names, pa.string())).fill_null(-1)
    place = at.to_numpy(zero_copy_only=False)[column.indices.to_numpy(zero_copy_only=False)]
    chosen = place >= 0
    return rows.filter(pa.array(chosen)), place[chosen].astype(np.intp)


def failing(rows: pa.Table) -> Bools:
    """Which rows are failures."""
    import pyarrow.compute as pc

    named = pc.fill_null(pc.not_equal(rows["failure"], ""), False)
    return named.to_numpy().astype(bool)


def _doubled(part: Part, items: Items, names: Sequence[str], system: str) -> str:
    """Which place two rows of a part claim, and what to do."""
    seen = np.zeros(len(names) * len(items), bool)
    for rows in part.slices((*KEY, "column")):
        rows, column = of_columns(rows, names)
        place = column * len(items) + items.places(rows)
        _, first = np.unique(place, return_index=True)
        again = seen[place]
        again[np.setdiff1d(np.arange(len(place)), first)] = True
        if again.any():
            c, at = divmod(int(place[again][0]), len(items))
            [name] = items.names([at])
            return (
                f"two rows for {system}, utterance '{name}', column '{names[c]}': "
                "make the table from one run, or drop the older rows"
            )
        seen[place] = True
    raise AssertionError("no place is claimed twice")


def scores(rows: pd.DataFrame, labels: pd.Series[Any] | None = None, columns: Sequence[str] | None = None) -> Scores:
    """Scores of one group's rows in memory, by the systems' labels. Raises BenchError where two rows claim one place."""
    names = system_labels(rows) if labels is None else labels.loc[rows.index]
    parts = {str(name): in_memory(some) for name, some in rows.groupby(names.to_numpy(), sort=False)}
    group = Group("", "", "", "")
    table = Table(group, tuple(parts), tuple(parts.values()))
    return read_scores(table, list(dict.fromkeys(table.kinds["column"])) if columns is None else columns)
