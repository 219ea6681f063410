"""Content-addressed results of every stage, in one SQLite file: atomic, safe for several runs at once, resumable.

A key is the sha256 of everything a result depends on, so an entry is never stale and never overwritten with something
else. SQLite's write-ahead log gives the guarantees: an entry is there whole or not at all after kill -9, and a disk
that fills up refuses the write and leaves what was stored intact.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bench import content, writing
from bench.audio import shown
from bench.errors import BenchError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, stage TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS needs (tab TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (key, tab)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS needs_of ON needs (tab);
DROP TABLE IF EXISTS files;
"""
_UNNEEDED = "stage != 'published' AND NOT EXISTS (SELECT 1 FROM needs WHERE needs.key = entries.key)"
_BATCH = 400
_CURE = "name a place that can be written with --store (BENCH_STORE)"


_SIDES = ("", "-wal", "-shm")
"""The files of a store: SQLite's own, its log and the log's index."""


class StoreError(BenchError):
    """The store cannot be written or read; what it held before is still good."""


class StoreDamaged(StoreError):
    """The file is no store, or what it holds is damaged. It has been kept aside."""


def default_path() -> Path:
    """$BENCH_STORE, else .bench/store.sqlite under the working directory."""
    return Path(os.environ.get("BENCH_STORE", Path(".bench") / "store.sqlite"))


def key_of(*parts: Any) -> str:
    """sha256 over the canonical JSON of `parts`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def dumps(value: Any) -> bytes:
    """JSON with numpy arrays and bytes as tagged base64; compressed when long."""
    text = json.dumps(value, default=_tag, separators=(",", ":"), ensure_ascii=False).encode()
    return b"z" + zlib.compress(text, 1) if len(text) > 512 else b"j" + text


def loads(data: bytes) -> Any:
    """Inverse of `dumps`."""
    text = zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:]
    return json.loads(text, object_hook=_untag)


def _tag(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"__array__": data, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, bytes):
        return {"__bytes__": base64.b64encode(value).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot store a {type(value).__name__}")


def _untag(value: dict) -> Any:
    if "__array__" in value:
        flat = np.frombuffer(base64.b64decode(value["__array__"]), np.dtype(value["dtype"]))
        return flat.reshape(value["shape"]).copy()
    if "__bytes__" in value:
        return base64.b64decode(value["__bytes__"])
    return value


class Store:
    """A mapping key -> value. Open it once per process; processes may share the file."""

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else default_path()
        try:
            self._open()
        except StoreDamaged as error:
            print(f"warning: {error}", file=sys.stderr)
            self._open()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
            self._inode = self.path.stat().st_ino
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            self._raise_damaged(error)
            try:
                writing.check_folder(self.path.absolute().parent, _CURE)
            except BenchError as told:
                raise StoreError(f"{self.path}: the store cannot be opened: {told}") from error
            raise StoreError(f"{self.path}: cannot open the store ({error}); {_CURE}") from error

    def _raise_damaged(self, error: Exception) -> None:
        """Keep a damaged file aside and raise StoreDamaged; nothing happens for errors of another kind."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return
        self._db.close()
        aside = self._keep_aside()
        raise StoreDamaged(
            f"{self.path}: the store is damaged ({error}). It is kept as {aside.name}; a new one begins, and what is "
            "missing is computed again by the same command."
        ) from error

    def _keep_aside(self) -> Path:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        # Another process may have kept it aside before: a new store in its place stays.
        if self.path.exists() and self.path.stat().st_ino == self._inode:
            for side in _SIDES:
                part = self.path.with_name(self.path.name + side)
                if part.exists():
                    part.rename(aside.with_name(aside.name + side))
        return aside

    def check_writable(self) -> None:
        """Raises BenchError where nothing could be put: a file that may only be read, a folder that is full."""
        writing.check_folder(self.path.absolute().parent, _CURE)
        self._change("DELETE FROM entries WHERE key = ?", [("",)])  # there is none

    def close(self) -> None:
        """Close the file; what was put is there."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM entries").fetchone()[0])

    def get(self, key: str) -> Any | None:
        """The value, or None."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Those of `keys` that are there."""
        return {key: self._loads(key, data) for key, data in self._select("key, data", keys)}

    def _loads(self, key: str, data: bytes) -> Any:
        try:
            return loads(data)
        except (ValueError, KeyError, zlib.error) as error:
            self._change("DELETE FROM entries WHERE key = ?", [(key,)])
            raise StoreError(
                f"{self.path}: one of its results is damaged ({error}). It is removed; "
                "run the same command again, and it is computed anew."
            ) from error

    def get_raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Those of `keys` that are there, as they are stored (see `loads`)."""
        return dict(self._select("key, data", keys))

    def has_many(self, keys: Sequence[str]) -> set[str]:
        """The subset of `keys` that is there, without reading values."""
        return {row[0] for row in self._select("key", keys)}

    def _select(self, columns: str, keys: Sequence[str], *, table: str = "entries", by: str = "key") -> Iterator[tuple]:
        for start in range(0, len(keys), _BATCH):
            some = keys[start : start + _BATCH]
            marks = ",".join("?" * len(some))
            try:
                found = self._db.execute(f"SELECT {columns} FROM {table} WHERE {by} IN ({marks})", list(some)).fetchall()
            except sqlite3.Error as error:
                self._raise_damaged(error)
                raise StoreError(f"{self.path}: cannot read the store ({error}); run the same command again") from error
            yield from found

    def put_many(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Write (key, stage, value) triples in one transaction: all of them or none."""
        self.put_raw([(key, stage, dumps(value)) for key, stage, value in entries])

    def put_raw(self, rows: Sequence[tuple[str, str, bytes]]) -> None:
        """`put_many` of values that are `dumps`ed already."""
        self._change("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)

    def _change(self, statement: str, rows: Sequence[tuple]) -> None:
        """One statement for every line of values, in one transaction: all of them or none."""
        if not rows:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
            self._raise_damaged(error)
            raise StoreError(
                f"{self.path}: cannot write ({error}). What was stored before is intact: free some space "
                "(or set BENCH_STORE to another disk) and run the same command again."
            ) from error

    def put(self, key: str, stage: str, value: Any) -> None:
        """Keep one entry (see put_many)."""
        self.put_many([(key, stage, value)])

    def file_sha256(self, paths: Iterable[Path]) -> dict[Path, str]:
        """sha256 of files ("missing" for what cannot be read), remembered while size, times and inode stay the same."""
        names = {path: shown(os.path.abspath(path)) for path in paths}
        # Only the rows asked for: workers call this for every job, and the table holds every file ever seen.
        rows = self._select("path, stamp, sha256", list(names.values()), table="digests", by="path")
        known = {path: (stamp, sha256) for path, stamp, sha256 in rows}
        found: dict[Path, str] = {}
        fresh: list[tuple[str, str, str]] = []
        for path, name in names.items():
            try:
                now = content.stamp(path)
                text = " ".join(map(str, now))
                entry = known.get(name)
                if entry is not None and entry[0] == text:
                    found[path] = entry[1]
                    continue
                found[path] = content.read_sha256(path)
            except OSError:
                found[path] = "missing"
                continue
            if content.settled(now):
                fresh.append((name, text, found[path]))
        if fresh:
            # Only a memory aid: without it the file is hashed again next time.
            with suppress(StoreError):
                self._change("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", fresh)
        return found

    def stages(self) -> Mapping[str, tuple[int, int]]:
        """Stage -> (entries, bytes)."""
        query = "SELECT stage, count(*), sum(length(data)) FROM entries GROUP BY stage ORDER BY stage"
        return {stage: (count, size) for stage, count, size in self._ask(query)}

    def _ask(self, query: str) -> list[tuple]:
        try:
            return self._db.execute(query).fetchall()
        except sqlite3.Error as error:
            self._raise_damaged(error)
            raise StoreError(f"{self.path}: cannot read the store ({error}); run the same command again") from error

    def verify(self) -> int:
        """Read everything; -> how many damaged results were removed. Raises StoreDamaged for a damaged file."""
        faults = [line for (line,) in self._ask("PRAGMA integrity_check") if line != "ok"]
        if faults:
            broken = sqlite3.DatabaseError(faults[0])
            broken.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            self._raise_damaged(broken)
        bad = []
        for key, data in self._db.execute("SELECT key, data FROM entries"):
            try:
                loads(data)
            except (ValueError, KeyError, zlib.error):
                bad.append((key,))
        self._change("DELETE FROM entries WHERE key = ?", bad)
        return len(bad)

    def need(self, table: str, keys: Iterable[str], *, begin: bool = True) -> None:
        """Note that some rows of a table were made from these entries, and (`begin`) from no others.

        table: the table's folder, `#`, and which of its rows.
        """
        if begin:
            self._change("DELETE FROM needs WHERE tab = ?", [(table,)])
        self._change("INSERT OR IGNORE INTO needs VALUES (?, ?)", [(table, key) for key in keys])

    def unneeded(self) -> Mapping[str, tuple[int, int]]:
        """Stage -> (entries, bytes) that no table is made from; tables that are gone need nothing."""
        known = [table for (table,) in self._ask("SELECT DISTINCT tab FROM needs")]
        gone = [(table,) for table in known if not Path(table.partition("#")[0]).is_dir()]
        self._change("DELETE FROM needs WHERE tab = ?", gone)
        query = f"SELECT stage, count(*), sum(length(data)) FROM entries WHERE {_UNNEEDED} GROUP BY stage ORDER BY stage"
        return {stage: (count, size) for stage, count, size in self._ask(query)}

    def prune(self) -> None:
        """Remove what `unneeded` counts, and give the space back to the disk."""
        self._change(f"DELETE FROM entries WHERE {_UNNEEDED}", [()])
        self._ask("VACUUM")
