"""Files that are written whole, and places that are looked at before the work whose results go there.

What is written comes into place in one step or not at all. A place that cannot be written costs one line before anything is
computed, not the computed.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.errors import BenchError

OF_RESULTS = "name a place that can be written with --results (BENCH_RESULTS)"
"""The cure where results of a run cannot be written."""
_AGAIN = "free some space, or choose another place with --results, and run the same command again"
_PROBE = 1 << 16
"""Bytes that tell a full disk."""


def check_folder(folder: Path, cure: str) -> None:
    """Raises BenchError, which names the folder, the reason and the cure, where no file can be written in a folder, or where
    it cannot be made. Nothing is left behind."""
    there = folder
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise BenchError(f"{folder}: cannot be written ({there} is no folder); {cure}")
    try:
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(bytes(_PROBE))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise BenchError(f"{folder}: cannot be written ({error.strerror or error}); {cure}") from error


def check_file(path: Path, cure: str) -> None:
    """`check_folder` of a file's folder; the file itself must be no folder."""
    if path.is_dir():
        raise BenchError(f"{path}: cannot be written (it is a folder); {cure}")
    check_folder(path.parent, cure)


@contextmanager
def in_place(path: Path, cure: str = _AGAIN, errors: tuple[type[Exception], ...] = (OSError,)) -> Iterator[Path]:
    """A name to write to; what was written becomes `path` in one step at the end, or is gone when that failed.

    cure: what to do then. errors: the kinds that tell of a failure to write.
    """
    part = beside(path)
    try:
        with told(path, cure, errors):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if part.exists():
                os.replace(part, path)
    finally:
        discard(part)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    with in_place(path) as part:
        part.write_text(text, encoding="utf-8")


def beside(path: Path) -> Path:
    """A name of one's own beside `path`, for what is not whole yet."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")


def discard(part: Path) -> None:
    """Remove what did not become whole; where it could not even begin, nothing is there."""
    with suppress(OSError):
        part.unlink()


@contextmanager
def told(path: Path, cure: str = _AGAIN, errors: tuple[type[Exception], ...] = (OSError,)) -> Iterator[None]:
    """What goes wrong while `path` is written becomes one BenchError with the `cure`."""
    try:
        yield
    except errors as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        reason = getattr(error, "strerror", None) or first
        raise BenchError(f"{path}: cannot be written ({reason}). What was there before is unchanged: {cure}.") from error
