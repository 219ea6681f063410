"""Where data sets lie on this machine, and what to say when one does not."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.data import Source, module, names
from bench.errors import DataMissing, UnknownName
from bench.fetch.homes import data_home

AUDIO = (".flac", ".wav", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au")


def local() -> list[str]:
    """Sources that lie on this machine: the shipped set, and what is under the data home. Nothing is downloaded."""
    base = data_home()
    found = ["embedded"]
    for name in names():
        folders = getattr(module(name), "FOLDERS", ())
        if any(folder and (base / folder).is_dir() for folder in folders):
            found.append(f"{name}:{base}")
    return found


def candidates(source: Source, folders: Sequence[str]) -> list[Path]:
    """Folders in which the set may lie: PATH and PATH/folder for each usual name; the data home without PATH."""
    base = source.path or data_home()
    return [*([base] if source.path else []), *(base / folder for folder in folders)]


def locate(source: Source, folders: Sequence[str], parts: Iterable[str]) -> Path | None:
    """The first candidate that holds every one of `parts` (relative names; "" for the folder itself)."""
    wanted = list(parts)
    for folder in candidates(source, folders):
        if folder.is_dir() and all((folder / part).exists() for part in wanted):
            return folder
    return None


def missing(source: Source, folders: Sequence[str], parts: Iterable[str], cure: str) -> DataMissing:
    """The error for a set that is not here: what, where it was looked for, how to provide it."""
    looked = ", ".join(str(folder) for folder in candidates(source, folders))
    what = ", ".join(part for part in parts if part)
    return DataMissing(f"{source.title()}: {what or 'the data'} not found in {looked}. {cure}")


def nothing(source: Source, root: Path, there: Sequence[str], cure: str) -> DataMissing:
    """The error for a set of which nothing was chosen: what was found instead."""
    some = ", ".join(there[:12]) + (f" and {len(there) - 12} more" if len(there) > 12 else "")
    return DataMissing(f"{source.title()}: nothing chosen in {root}, which holds {some or 'no such files'}; {cure}")


def check_subsets(source: Source, known: Iterable[str]) -> None:
    """Raise UnknownName for a subset that the set does not have."""
    names = list(known)
    for subset in source.subsets:
        if subset not in names:
            raise UnknownName(f"subset of {source.name}", subset, names)


def audio_files(folder: Path, pattern: str = "**/*") -> list[Path]:
    """Audio files under `folder`, sorted by relative path; hidden ones and those of hidden folders left out.

    What only looks like a file (a broken link) is listed as well: reading it fails, and is counted. Linked folders are
    followed once, see `walk`.
    """
    every = walk(folder).files if pattern == "**/*" else folder.glob(pattern)
    found = [path for path in every if path.suffix.lower() in AUDIO and not os.path.isdir(path)]
    visible = [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return sorted(visible, key=lambda path: path.relative_to(folder).as_posix())


def unreadable(folder: Path) -> list[Path]:
    """Folders at or below `folder` that cannot be listed; what lies in them is not known. Hidden ones are left out."""
    return sorted(walk(folder).closed)


@dataclass
class Tree:
    """What lies below a folder: files (whatever is no folder), and folders that cannot be listed."""

    files: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)


def walk(folder: Path) -> Tree:
    """Everything below `folder` that is not hidden. A linked folder is followed, but no folder twice: one that is reached by
    its own path is not read again through a link, and a link to a folder above leads nowhere."""
    tree = Tree()
    seen: set[str] = set()
    waiting = [folder]
    while waiting:
        start = waiting.pop(0)
        if start is not folder and (os.path.realpath(start) in seen or _holds(start, folder)):
            continue
        links: list[Path] = []
        for at, below, files in os.walk(start, onerror=lambda error: tree.closed.append(Path(error.filename))):
            here = Path(at)
            seen.add(os.path.realpath(at))
            tree.files += [here / name for name in files if not name.startswith(".")]
            below[:] = sorted(name for name in below if not name.startswith("."))
            links += [here / name for name in below if (here / name).is_symlink()]
            below[:] = [name for name in below if os.path.realpath(here / name) not in seen]
        waiting += links
    return tree


def _holds(outer: Path, inner: Path) -> bool:
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))


def first_audio(stem: Path) -> Path | None:
    """`stem` with the first audio suffix that exists."""
    return next((path for suffix in AUDIO if (path := stem.with_name(stem.name + suffix)).is_file()), None)


def text_of(path: Path) -> str | None:
    """A small text file without its surrounding white space; None when it is not there or empty."""
    return (path.read_text(encoding="utf-8", errors="replace").strip() or None) if path.is_file() else None
