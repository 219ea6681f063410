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
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import content
from bench.audio import shown
from bench.errors import BenchError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, stage TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, sha256 TEXT NOT NULL);
DROP TABLE IF EXISTS files;
"""
_BATCH = 400


class StoreError(BenchError):
    """The store cannot be written or read; what it held before is still good."""


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
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"{self.path}: cannot open the store ({error}). Set BENCH_STORE to a writable place."
            ) from error

    def close(self) -> None:
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
        return {key: loads(data) for key, data in self._select("key, data", keys)}

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
            yield from self._db.execute(f"SELECT {columns} FROM {table} WHERE {by} IN ({marks})", list(some))

    def put_many(self, entries: Iterable[tuple[str, str, Any]]) -> None:
        """Write (key, stage, value) triples in one transaction: all of them or none."""
        self.put_raw([(key, stage, dumps(value)) for key, stage, value in entries])

    def put_raw(self, rows: Sequence[tuple[str, str, bytes]]) -> None:
        """`put_many` of values that are `dumps`ed already."""
        if not rows:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StoreError(
                f"{self.path}: cannot write ({error}). What was stored before is intact: free some space "
                "(or set BENCH_STORE to another disk) and run the same command again."
            ) from error

    def put(self, key: str, stage: str, value: Any) -> None:
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
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", fresh)
                self._db.execute("COMMIT")
            except sqlite3.Error:
                # Only a memory aid: without it the file is hashed again next time.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        return found

    def stages(self) -> Mapping[str, tuple[int, int]]:
        """Stage -> (entries, bytes), for `bench doctor`."""
        query = "SELECT stage, count(*), sum(length(data)) FROM entries GROUP BY stage"
        return {stage: (count, size) for stage, count, size in self._db.execute(query)}
