"""Care of a table's files before and while a run writes there: damaged ones kept aside, earlier forms renewed, one writer.

A file that cannot be read is kept aside under another name and told; nothing is ever written over it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.results import earlier
from bench.results.files import BadRows, about, batches, paths, told_by, verified
from bench.results.identity import identity_of
from bench.results.writer import Writer
from bench.writing import told


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
        return earlier.is_other(told_by(pq.read_schema(path)))
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
