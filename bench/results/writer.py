"""Files of rows as they are written: in slices, in place whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.results.files import ROWS
from bench.results.identity import by_system, facts_of
from bench.results.schema import META, ROW_GROUP, as_arrow, types
from bench.writing import beside, discard, told

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMAT = 3


class Writer:
    """Writes one file of rows in slices; it is in place after `with`, whole, or not at all."""

    def __init__(self, path: Path, facts: Mapping[str, Any] | None = None) -> None:
        self.path, self.count = path, 0
        self._facts = {"format": FORMAT, **(facts or {})}
        self._beside = beside(path)
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> Writer:
        import pyarrow.parquet as pq

        meta = {META: json.dumps(self._facts, sort_keys=True).encode()}
        with told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._out = pq.ParquetWriter(
                self._beside, types().with_metadata(meta), compression="zstd", write_page_checksum=True, write_statistics=False
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
