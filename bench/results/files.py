"""Files of rows: one Parquet file per system in `<table>/rows/`, read whole, by fields, or some thousand rows at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.results import earlier
from bench.results.identity import Identity, identity_of
from bench.results.schema import META, ROW_GROUP, SCHEMA, typed, types
from bench.stats.parts import SLICE

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROWS = "rows"
"""Name of the folder of a table that holds its rows."""


class BadRows(BenchError):
    """A file that does not hold rows: damaged, cut off, or something else altogether."""


def paths(table: Path) -> list[Path]:
    """The rows files of a table's folder, in the order of their names."""
    return sorted((table / ROWS).glob("*.parquet"))


def tables(base: Path) -> list[Path]:
    """Folders of tables at or below `base`."""
    return sorted({path.parent.parent for path in base.rglob(f"{ROWS}/*.parquet")})


def read(table: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of all systems of a table; `columns`: only these fields. Raises BadRows."""
    return read_files(paths(table), columns)


def read_file(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of one file. Raises BadRows."""
    return read_files([path], columns)


def read_files(some: Iterable[Path], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of several files as one DataFrame; text as categories. Raises BadRows."""
    import pyarrow as pa

    parts = [arrow(path, columns) for path in some]
    if not parts:
        return typed([])
    return pa.concat_tables(parts).unify_dictionaries().to_pandas(strings_to_categorical=True)


def arrow(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Rows of one file as an Arrow table, text as dictionaries. Fields that an older file lacks are null. Raises BadRows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = [name for name in SCHEMA if columns is None or name in columns]
    try:
        found = pq.read_schema(path)
        _check(path, found)
        with pq.ParquetFile(path, read_dictionary=_text(path, list(SCHEMA)), page_checksum_verification=True) as file:
            there = file.read([name for name in wanted if name in found.names])
        return _aligned(there, wanted, _set_anew(found)).unify_dictionaries()
    except (OSError, pa.ArrowException) as error:
        raise BadRows(f"{path}: not readable as rows ({_first_line(error)})") from error


def batches(path: Path) -> Iterator[pa.Table]:
    """Rows of one file, some thousands at a time. Raises BadRows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            _check(path, file.schema_arrow)
            anew = _set_anew(file.schema_arrow)
            for batch in file.iter_batches(ROW_GROUP):
                yield _aligned(pa.Table.from_batches([batch]), list(SCHEMA), anew).cast(types())
    except (OSError, pa.ArrowException) as error:
        raise BadRows(f"{path}: not readable as rows ({_first_line(error)})") from error


def slices(path: Path, fields: Sequence[str]) -> Iterator[pa.Table]:
    """Some fields of a file's rows, many thousand rows at a time, text as dictionaries. Raises BadRows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, read_dictionary=_text(path, fields), page_checksum_verification=True) as file:
            _check(path, file.schema_arrow)
            anew = _set_anew(file.schema_arrow)
            there = [name for name in fields if name in file.schema_arrow.names]
            batches: list[pa.RecordBatch] = []
            count = 0
            for batch in file.iter_batches(SLICE, columns=there):
                batches.append(batch)
                count += len(batch)
                if count >= SLICE:
                    yield _aligned(pa.Table.from_batches(batches).unify_dictionaries(), fields, anew).combine_chunks()
                    batches, count = [], 0
            if batches:
                yield _aligned(pa.Table.from_batches(batches).unify_dictionaries(), fields, anew).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise BadRows(f"{path}: not readable as rows ({_first_line(error)})") from error


def _text(path: Path, fields: Sequence[str]) -> list[str]:
    """The fields of text that a file has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    there = set(pq.read_schema(path).names)
    return [field.name for field in types() if field.type == pa.string() and field.name in there and field.name in fields]


def _check(path: Path, found: pa.Schema) -> None:
    missing = [name for name in ("task", "codec", "utterance", "column", "value", "failure") if name not in found.names]
    if missing:
        raise BadRows(f"{path}: holds no rows of this bench (no field {', '.join(missing)})")


def told_by(found: pa.Schema) -> dict[str, Any]:
    """What a file says of itself, as it is written."""
    return dict(json.loads((found.metadata or {}).get(META, b"{}")))


def _set_anew(found: pa.Schema) -> dict[str, str]:
    """Fields that all rows of a file of an earlier format have otherwise today."""
    if "variant" in found.names:
        return {}
    before = told_by(found)
    now = earlier.facts(before)
    return {"variant": str(now.get("variant", ""))} | {
        name: str(now[name]) for name in ("codec", "role") if now.get(name) != before.get(name)
    }


def _aligned(table: pa.Table, wanted: Sequence[str], anew: Mapping[str, str]) -> pa.Table:
    """The table with exactly the fields `wanted`, at their types; `anew`: fields with one value in all rows."""
    import pyarrow as pa

    columns = []
    fields = []
    for name in wanted:
        kind = types().field(name).type
        kind = pa.dictionary(pa.int32(), pa.string()) if kind == pa.string() else kind
        if name in anew:
            columns.append(pa.array([anew[name]] * len(table), pa.string()).cast(kind))
        else:
            columns.append(table[name].cast(kind) if name in table.column_names else pa.nulls(len(table), kind))
        fields.append(pa.field(name, kind))
    return pa.table(columns, schema=pa.schema(fields))


def about(path: Path) -> dict[str, Any]:
    """What a file says of itself without its rows being read: table, identity, system_key. Raises BadRows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise BadRows(f"{path}: not readable as rows ({_first_line(error)})") from error
    _check(path, found)
    return earlier.facts(told_by(found))


def _check_identity(path: Path) -> None:
    """Raises BadRows when the file is not called as its system is."""
    facts = about(path)
    if identity_of({name: facts.get(name, "") for name in Identity.__dataclass_fields__}).file_name != path.name:
        raise BadRows(f"{path}: holds rows of another system, {facts.get('codec', 'unnamed')}")


def verified(path: Path) -> Iterator[pa.Table]:
    """Rows of a file in batches, once it is known to be whole and of the system that it is called by. Raises BadRows."""
    _check_identity(path)
    return batches(path)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
