"""Files of rows: one Parquet file per system in `<table>/rows/`, put in place whole, so that a run renews one file.

A file that cannot be read is kept aside under another name and told; nothing is ever written over it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.results import earlier
from bench.results.rows import NUMBERS, SCHEMA, typed
from bench.stats.parts import SLICE
from bench.writing import beside, discard, told

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ROWS = "rows"
"""Name of the folder of a table that holds its rows."""
FORMAT = 3
ROW_GROUP = 16_384
"""Rows that are written, or taken from one file into another, at a time."""
_META = b"bench"
_KINDS: Mapping[str, str] = {"partial": "bool_", "synthetic": "bool_", "threads": "int64", "seed": "int64"}


class BadRows(BenchError):
    """A file that does not hold rows: damaged, cut off, or something else altogether."""


@dataclass(frozen=True, order=True)
class Identity:
    """What makes two rows rows of one system: codec, weights, kind of device, role and variant."""

    codec: str
    weights: str
    weights_sha256: str
    device_kind: str
    role: str
    variant: str = ""

    @property
    def file_name(self) -> str:
        """`focalcodec@50-nano-543250b0.parquet`: safe on every file system, another one for every identity."""
        parts = [self.codec]
        if self.weights != "none":
            parts.append(self.weights)
        if self.weights_sha256 not in ("", "none"):
            parts.append(self.weights_sha256[:8])
        if self.device_kind != "cpu":
            parts.append(self.device_kind)
        if self.role != "resynthesis":
            parts.append(self.role)
        if self.variant:
            parts.append(self.variant)
        plain = "-".join(parts)
        safe = re.sub(r"[^\w@.+-]+", "-", plain, flags=re.ASCII).strip("-.")[:120]
        if safe != plain:
            safe += "-" + hashlib.sha256(plain.encode()).hexdigest()[:6]
        return safe + ".parquet"


def schema() -> pa.Schema:
    """Arrow types of SCHEMA's fields."""
    import pyarrow as pa

    def kind(name: str) -> pa.DataType:
        return pa.float64() if name in NUMBERS else getattr(pa, _KINDS[name])() if name in _KINDS else pa.string()

    return pa.schema([pa.field(name, kind(name)) for name in SCHEMA])


def paths(table: Path) -> list[Path]:
    """The rows files of a table's folder, in the order of their names."""
    return sorted((table / ROWS).glob("*.parquet"))


def tables(base: Path) -> list[Path]:
    """Folders of tables at or below `base`."""
    return sorted({path.parent.parent for path in base.rglob(f"{ROWS}/*.parquet")})


def identity_of(rows: Mapping[str, Any]) -> Identity:
    """The identity of a row (a mapping with SCHEMA's fields)."""
    return Identity(**{name: "" if _missing(rows[name]) else str(rows[name]) for name in Identity.__dataclass_fields__})


def _missing(value: Any) -> bool:
    return value is None or value != value or type(value).__name__ == "NAType"


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
                yield _aligned(pa.Table.from_batches([batch]), list(SCHEMA), anew).cast(schema())
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
    return [field.name for field in schema() if field.type == pa.string() and field.name in there and field.name in fields]


def _check(path: Path, found: pa.Schema) -> None:
    missing = [name for name in ("task", "codec", "utterance", "column", "value", "failure") if name not in found.names]
    if missing:
        raise BadRows(f"{path}: holds no rows of this bench (no field {', '.join(missing)})")


def _told_by(found: pa.Schema) -> dict[str, Any]:
    """What a file says of itself, as it is written."""
    return dict(json.loads((found.metadata or {}).get(_META, b"{}")))


def _set_anew(found: pa.Schema) -> dict[str, str]:
    """Fields that all rows of a file of an earlier format have otherwise today."""
    if "variant" in found.names:
        return {}
    before = _told_by(found)
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
        kind = schema().field(name).type
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
    return earlier.facts(_told_by(found))


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


def as_arrow(rows: pd.DataFrame | pa.Table) -> pa.Table:
    """Rows as an Arrow table of SCHEMA's plain types."""
    import pyarrow as pa

    if isinstance(rows, pa.Table):
        return rows.select(list(SCHEMA)).cast(schema())
    return pa.Table.from_pandas(rows[list(SCHEMA)], preserve_index=False).cast(schema())


class Writer:
    """Writes one file of rows in slices; it is in place after `with`, whole, or not at all."""

    def __init__(self, path: Path, facts: Mapping[str, Any] | None = None) -> None:
        self.path, self.count = path, 0
        self._facts = {"format": FORMAT, **(facts or {})}
        self._beside = beside(path)
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> Writer:
        import pyarrow.parquet as pq

        meta = {_META: json.dumps(self._facts, sort_keys=True).encode()}
        with told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._out = pq.ParquetWriter(
                self._beside, schema().with_metadata(meta), compression="zstd", write_page_checksum=True, write_statistics=False
            )
        return self

    def write(self, rows: pd.DataFrame | pa.Table) -> None:
        """Append rows to the file."""
        table = as_arrow(rows)
        if len(table):
            self._waiting.append(table)
            self.count += len(table)
        if sum(map(len, self._waiting)) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        with told(self.path):
            if self._waiting:
                self._out.write_table(pa.concat_tables(self._waiting))
                self._waiting.clear()

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
            with told(self.path):
                self._out.close()
                if kind is None:
                    os.replace(self._beside, self.path)
        finally:
            discard(self._beside)


def write_file(rows: pd.DataFrame | pa.Table, path: Path, facts: Mapping[str, Any] | None = None) -> None:
    """Write rows as one file, in one step."""
    with Writer(path, facts) as out:
        out.write(rows)


def write(rows: pd.DataFrame, table: Path) -> None:
    """Write rows as a table of their own: one file for each system."""
    for identity, part in by_system(rows):
        write_file(part, table / ROWS / identity.file_name, facts_of(part, identity))


def by_system(rows: pd.DataFrame) -> Iterator[tuple[Identity, pd.DataFrame]]:
    """The rows of each system, in the order of their appearance."""
    names = list(Identity.__dataclass_fields__)
    for _, part in rows.groupby(names, observed=True, sort=False, dropna=False):
        yield identity_of(part.iloc[0]), part


def facts_of(rows: pd.DataFrame, identity: Identity) -> dict[str, Any]:
    """What a file says of itself, from its rows."""
    names = ("task", "dataset", "dataset_sha256", "audio_sha256", "system_key")
    return {**asdict(identity), **{name: str(rows[name].iloc[0]) for name in names}}


def keep_aside(path: Path) -> Path:
    """Rename a damaged file, with a number of its own, so that nothing is lost; -> its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    with told(path):
        path.rename(aside)
    return aside


def set_aside(path: Path, error: BadRows) -> None:
    """Keep a damaged file aside and tell what follows from it."""
    aside = keep_aside(path)
    print(
        f"warning: {error}. It is kept as {aside.name}; its codec is missing from the table until it is run again.",
        file=sys.stderr,
    )


def inspect(table: Path) -> None:
    """Look at every rows file of a table before work starts; one that is no rows file is kept aside and told."""
    renew_format(table)
    for path in paths(table):
        try:
            for _ in verified(path):
                pass
        except BadRows as error:
            set_aside(path, error)


def renew_format(table: Path) -> list[Path]:
    """Write the files whose system is told otherwise today as today's files, under their names of today; -> those written.

    What cannot be read is left as it is.
    """
    if not any(map(_is_earlier, paths(table))):
        return []
    with locked(table):
        return [place for path in paths(table) if _is_earlier(path) and (place := _renewed(path)) is not None]


def _is_earlier(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return earlier.is_other(_told_by(pq.read_schema(path)))
    except (OSError, pa.ArrowException):
        return False


def _renewed(path: Path) -> Path | None:
    facts = {name: value for name, value in about(path).items() if name != "format"}
    place = path.with_name(identity_of(facts).file_name)
    if place != path and place.exists():
        return keep_aside(path)
    try:
        with Writer(place, facts) as out:
            for part in batches(path):
                out.write(part)
    except BadRows:
        return None
    if place != path:
        path.unlink()
    return place


@contextmanager
def locked(table: Path) -> Iterator[None]:
    """Hold the lock of a table: whoever writes into it does so alone."""
    from filelock import FileLock, Timeout

    lock = FileLock(table.with_name(f".{table.name}.lock"))
    with told(table):
        table.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=3.0)
        except Timeout:
            print(f"another run is writing {table}; waiting for it", file=sys.stderr, flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
