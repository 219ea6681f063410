"""Content by its digest. A digest is remembered for a file only while size, times and inode stay what they were.

Size and modification time alone are not enough: whoever replaces a file can set both back. The time of the last change
of the inode cannot be set, and a file moved into another's place has another inode.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

Stamp = tuple[int, int, int, int]
_BLOCK = 1 << 20
_known: dict[str, tuple[Stamp, str]] = {}


def stamp(path: Path | str) -> Stamp:
    """(size in bytes, mtime in ns, ctime in ns, inode) of a file: what stays as long as the file does. Raises OSError."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def settled(found: Stamp) -> bool:
    """Whether a change from now on would show in the stamp: clocks of file systems tick every few milliseconds."""
    return time.time_ns() - max(found[1], found[2]) > 20_000_000


def read_sha256(path: Path | str) -> str:
    """sha256 of a file, read in blocks. Raises OSError, also for what is no file: a pipe would never end."""
    if not os.path.isfile(path):
        raise FileNotFoundError(path)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_sha256(path: Path | str) -> str:
    """sha256 of a file, remembered in this process while its stamp stays the same. Raises OSError."""
    name, now = os.path.abspath(path), stamp(path)
    entry = _known.get(name)
    if entry is not None and entry[0] == now:
        return entry[1]
    found = read_sha256(path)
    if settled(now):
        _known[name] = (now, found)
    return found


def package_sha256(name: str, pattern: str = "*") -> str:
    """One digest over every file (of that pattern) of the installed top-level package or module `name`; "absent" where there
    is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return "absent"
    if spec.submodule_search_locations is None:
        return file_sha256(spec.origin) if spec.origin and os.path.isfile(spec.origin) else "built in"
    digest = hashlib.sha256()
    for folder in spec.submodule_search_locations:
        for relative, path in sorted(_files(Path(folder), pattern)):
            digest.update(f"{relative}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path, pattern: str) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob(pattern):
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix(), path
