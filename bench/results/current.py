"""The rows of a table that are up to date, read a system at a time: for tables, plots and comparisons of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import files, merge
from bench.results.merge import Older, Stale
from bench.results.schema import WHOLE_SET, split
from bench.stats.labels import FIELDS, system_labels
from bench.stats.parts import KINDS, Part, kinds, matching, parts_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_EVERY = tuple(dict.fromkeys((*KINDS, *merge.TELLING)))


@dataclass(frozen=True)
class FilePart(Part):
    """The rows of one file that are up to date. drop: kinds of rows (texts of merge.TELLING) that are left out. whole_set: the
    rows of the set as a whole instead of those of utterances. found: the kinds of these rows."""

    path: Path
    drop: tuple[tuple[str, ...], ...]
    whole_set: bool
    found: pd.DataFrame = field(compare=False)

    def slices(self, fields: Sequence[str]) -> Iterator[pa.Table]:
        """The rows in their order, with exactly `fields`. Raises BadRows."""
        import pyarrow.compute as pc

        asked = dict.fromkeys([*fields, "speaker", *(merge.TELLING if self.drop else ())])
        for rows in files.slices(self.path, list(asked)):
            mask = _of_set(rows) if self.whole_set else pc.invert(_of_set(rows))
            for kind in self.drop:
                mask = pc.and_(mask, pc.invert(matching(rows, tuple(zip(merge.TELLING, kind, strict=True)))))
            yield rows.select(list(fields)).filter(mask)

    @cached_property
    def kinds(self) -> pd.DataFrame:
        return self.found


def _of_set(rows: pa.Table) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.fill_null(pc.equal(rows["speaker"], WHOLE_SET), False)


@dataclass(frozen=True)
class Rows:
    """The rows of one table. parts: those of utterances, a part for each system. of_sets: those of the set as a whole (code
    usage, a probe's parameters). stale: what was left out or is of an earlier version."""

    parts: Sequence[Part]
    set_parts: Sequence[Part] = ()
    stale: Sequence[Stale | Older] = ()

    @cached_property
    def kinds(self) -> pd.DataFrame:
        """The distinct rows as to the fields KINDS: whatever does not depend on the utterance is told by this small table."""
        import pandas as pd

        every = [part.kinds for part in (*self.parts, *self.set_parts)]
        return pd.concat(every, ignore_index=True) if every else pd.DataFrame(columns=[*KINDS, "count"])

    @cached_property
    def of_sets(self) -> pd.DataFrame:
        """The rows that belong to the set as a whole, a few for each system."""
        import pyarrow as pa

        some = [rows for part in self.set_parts for rows in part.slices((*KINDS, "value"))]
        return pa.concat_tables(some).unify_dictionaries().to_pandas() if some else self.kinds.iloc[:0].assign(value=0.0)

    @property
    def empty(self) -> bool:
        """Whether there are no rows at all."""
        return not self.parts and not self.set_parts

    def of_codecs(self, wanted: Callable[[str], bool]) -> Rows:
        """The rows of the codecs that are wanted."""
        return self._chosen([wanted(codec) for codec in self._systems["codec"]])

    def of_systems(self, labels: set[str]) -> Rows:
        """The rows of the systems that are called so in the table."""
        return self._chosen([name in labels for name in system_labels(self._systems)])

    @cached_property
    def _systems(self) -> pd.DataFrame:
        """The system of each part, of utterances and of the set."""
        import pandas as pd

        every = [part.kinds[list(FIELDS)].iloc[0] for part in (*self.parts, *self.set_parts)]
        return pd.DataFrame(every, columns=list(FIELDS)).reset_index(drop=True)

    def _chosen(self, keep: Sequence[bool]) -> Rows:
        of_parts, of_sets = keep[: len(self.parts)], keep[len(self.parts) :]
        return Rows(
            [part for part, wanted in zip(self.parts, of_parts, strict=True) if wanted],
            [part for part, wanted in zip(self.set_parts, of_sets, strict=True) if wanted],
            self.stale,
        )


def read(table: Path) -> Rows:
    """The rows of a table's folder. Raises BadRows.

    A table never mixes two versions of a metric. Where no row is of today's version, the newest that is there is shown.
    """
    import pyarrow as pa

    looked = [(path, _kinds(path), str(files.about(path).get("system_key", ""))) for path in files.paths(table)]
    older = merge.older([pa.Table.from_pandas(found) for _, found, _ in looked])
    spoken: list[Part] = []
    of_sets: list[Part] = []
    stale: list[Stale | Older] = [*older]
    for path, found, system_key in looked:
        kept, why = merge.up_to_date(pa.Table.from_pandas(found.assign(at=range(len(found)))), system_key, older)
        stale += why
        here = found.index.isin(kept["at"].to_pylist())
        drop = tuple(dict.fromkeys(found.loc[~here, list(merge.TELLING)].itertuples(index=False, name=None)))
        for whole_set, parts in ((False, spoken), (True, of_sets)):
            mine = found[here & (found["whole_set"] == whole_set)]
            if len(mine):
                together = mine.groupby(list(KINDS), sort=False, as_index=False)["count"].sum()
                parts.append(FilePart(path, drop, whole_set, together))
    return Rows(spoken, of_sets, stale)


def _kinds(path: Path) -> pd.DataFrame:
    """The kinds of rows of a file: texts of _EVERY, `whole_set`, `count`."""
    flagged = (
        rows.drop_columns(["speaker"]).append_column("whole_set", _of_set(rows))
        for rows in files.slices(path, [*_EVERY, "speaker"])
    )
    found = kinds(flagged, (*_EVERY, "whole_set"))
    return found.assign(**{name: found[name].astype(str) for name in _EVERY}, whole_set=found["whole_set"].astype(bool))


def opened(rows: pd.DataFrame | Rows) -> Rows:
    """Rows that are in memory, as rows that are read; such as they are."""
    if isinstance(rows, Rows):
        return rows
    spoken, of_sets = split(rows)
    return Rows(parts_of(spoken), parts_of(of_sets))
