"""Files: a lock that two processes respect, small files written whole, and the record of digests seen before."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.errors import BenchError
from bench.writing import in_place


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` (made when absent), so that one process at a time does the work inside.

    Raises BenchError where the file system cannot lock or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w")
    except OSError as error:
        raise BenchError(f"{path.parent} cannot be written ({error.strerror}); set BENCH_CACHE to another folder") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            raise BenchError(f"{path} cannot be locked ({error.strerror}); set BENCH_CACHE to a local disk") from error
        yield


def write_text(path: Path, text: str) -> None:
    """Write a small file of a cache whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """As `write_text`."""
    with in_place(path, "free some space, or set BENCH_CACHE to another folder") as part:
        part.write_bytes(data)


class Record:
    """What was seen before, as text by name in one JSON file: digests of files, the commit of a repository.

    What a name meant the first time counts ever after. Several processes may write one record at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, str]:
        """All names. Raises BenchError for a damaged file, which is not touched."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BenchError(self._damaged(str(error))) from error
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise BenchError(self._damaged("not a table of texts"))
        return found

    def get(self, name: str) -> str | None:
        """What was recorded for `name`, or None."""
        return self.read().get(name)

    def put(self, values: Mapping[str, str]) -> None:
        """Record what is new in `values`."""
        if values.items() <= self.read().items():
            return
        with locked(self.path.with_name(f".{self.path.name}.lock")):
            write_text(self.path, json.dumps({**self.read(), **values}, indent=1, sort_keys=True))

    def _damaged(self, why: str) -> str:
        return f"{self.path} is damaged ({why}). It records the digests of downloads: mend it, or delete it to trust them anew"
