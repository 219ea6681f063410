"""Rows as statistics read them: a part for each system, in slices of many thousand rows, with the fields that are asked for.

A table of a million utterances has tens of millions of rows. Whoever reads them asks a part for a few fields and gets Arrow
tables, one after another, in the rows' order; text comes as dictionaries. Reading twice costs less than holding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bench.stats.labels import FIELDS as SYSTEM

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SLICE = 1 << 18
"""Rows of a slice, about."""
NUMBERS = ("value", "num", "den", "seconds")
GROUP = ("task", "condition", "dataset", "dataset_sha256")
"""Fields that tell tables apart."""
KINDS = (
    *GROUP, *SYSTEM, "profile", "language", "device", "threads", "code_version", "partial", "synthetic", "column", "metric",
    "metric_version", "failure",
)  # fmt: skip
"""Fields that tell kinds of rows apart: of a million rows some dozens."""


class Part(ABC):
    """Rows of one system."""

    @abstractmethod
    def slices(self, fields: Sequence[str]) -> Iterator[pa.Table]:
        """The rows in their order, with exactly `fields`; what a row lacks is null."""

    @cached_property
    def kinds(self) -> pd.DataFrame:
        """The distinct rows as to KINDS, in order of first appearance, and how many there are of each (`count`)."""
        return kinds(self.slices(KINDS), KINDS)


@dataclass(frozen=True)
class InMemory(Part):
    """Rows that are here already."""

    rows: pa.Table

    def slices(self, fields: Sequence[str]) -> Iterator[pa.Table]:
        yield self.rows.select(list(fields))


@dataclass(frozen=True)
class Only(Part):
    """The rows of a part whose fields are as in `keep`, and not as in `drop`."""

    part: Part
    keep: tuple[tuple[str, str], ...] = ()
    drop: tuple[tuple[str, str], ...] = ()

    def slices(self, fields: Sequence[str]) -> Iterator[pa.Table]:
        asked = list(dict.fromkeys([*fields, *(name for name, _ in (*self.keep, *self.drop))]))
        for rows in self.part.slices(asked):
            yield rows.filter(matching(rows, self.keep, self.drop)).select(list(fields))


@dataclass(frozen=True)
class Joined(Part):
    """The rows of several parts of one system, one part after another."""

    parts: tuple[Part, ...]

    def slices(self, fields: Sequence[str]) -> Iterator[pa.Table]:
        for part in self.parts:
            yield from part.slices(fields)


def matching(rows: pa.Table, keep: Iterable[tuple[str, str]], drop: Iterable[tuple[str, str]] = ()) -> pa.ChunkedArray:
    """Which rows have the texts `keep` and none of the texts `drop`; what is missing is ""."""
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = pa.chunked_array([pa.repeat(pa.scalar(True), len(rows))])
    for wanted, pairs in ((True, keep), (False, drop)):
        for name, text in pairs:
            same = pc.fill_null(pc.equal(rows[name], text), text == "")
            mask = pc.and_(mask, same if wanted else pc.invert(same))
    return mask


def kinds(slices: Iterable[pa.Table], fields: Sequence[str]) -> pd.DataFrame:
    """Distinct rows as to `fields`, in order of first appearance, with `count`. Missing text is ""."""
    import pandas as pd

    found: dict[tuple[Any, ...], int] = {}
    for rows in slices:
        if not len(rows):
            continue
        varying = [name for name in fields if not _constant(rows[name])]
        base = {name: rows[name][0].as_py() for name in fields}
        counted: list[Mapping[str, Any]] = [{"count_all": len(rows)}]
        if varying:
            counted = rows.select(varying).group_by(varying, use_threads=False).aggregate([([], "count_all")]).to_pylist()
        for one in counted:
            kind = tuple(one.get(name, base[name]) for name in fields)
            found[kind] = found.get(kind, 0) + int(one["count_all"])
    table = pd.DataFrame([("" if x is None else x for x in kind) for kind in found], columns=list(fields), dtype=object)
    return table.assign(count=pd.Series(list(found.values()), dtype="int64"))


def _constant(column: pa.ChunkedArray) -> bool:
    """Whether a column that is a dictionary, or empty of values, is plainly the same everywhere."""
    import pyarrow as pa

    if column.null_count == len(column):
        return True
    return pa.types.is_dictionary(column.type) and column.null_count == 0 and all(
        len(chunk.dictionary) == 1 for chunk in column.chunks
    ) and len({chunk.dictionary[0].as_py() for chunk in column.chunks if len(chunk)}) <= 1  # fmt: skip


def parts_of(rows: pd.DataFrame | Sequence[Part]) -> list[Part]:
    """Rows in memory as parts, one for each table and system, in order of first appearance; parts as they are."""
    import pandas as pd

    if not isinstance(rows, pd.DataFrame):
        return list(rows)
    if rows.empty:
        return []
    names = [name for name in (*GROUP, *SYSTEM) if name in rows]
    if "device_kind" not in rows and "device" in rows:
        names.append("device")
    keys = [rows[name].astype(object).where(rows[name].notna(), "") for name in names]
    return [in_memory(some) for _, some in rows.groupby(keys, sort=False, observed=True)] if keys else [in_memory(rows)]


def in_memory(rows: pd.DataFrame) -> InMemory:
    """Rows of one system as a part: text as dictionaries, numbers as floats, fields that are missing as nulls."""
    import pandas as pd
    import pyarrow as pa

    columns = {}
    asked = (*KINDS, *NUMBERS, "utterance", "output", "speaker", "language", "detail")
    for name in dict.fromkeys((*asked, *map(str, rows.columns))):
        if name not in rows:
            columns[name] = pa.nulls(len(rows), pa.float64() if name in NUMBERS else pa.dictionary(pa.int32(), pa.string()))
        elif name in NUMBERS:
            given = pd.to_numeric(rows[name], errors="coerce").to_numpy("float64", na_value=float("nan"))
            columns[name] = pa.array(given, from_pandas=True)
        elif pd.api.types.is_bool_dtype(rows[name]):
            columns[name] = pa.array(rows[name].to_numpy(bool))
        else:
            text = [None if x is None or x is pd.NA or x != x else str(x) for x in rows[name].astype(object)]
            columns[name] = pa.array(text, pa.string()).dictionary_encode()
    return InMemory(pa.table(columns))
