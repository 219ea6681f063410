"""Which decoded file belongs to which original, by name alone.

A file matches by its path below the folder, else by its bare name. Its name may be the original's stem (`u1.flac`), the
original's own file name (`u1.wav.flac`), or either with one ending or beginning that all files of the folder share
(`u1_out`, `u1.decoded`, `u1-24k`, `opus_u1`). Upper case and the separators / _ - and space do not matter. Where several
files match equally well, none does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from bench.data.places import AUDIO

RULE = (
    "a decoded file is called as its original, with another suffix, or with one ending or beginning that all decoded files share "
    "(u1_out.wav for u1.wav)"
)
_EDGE = re.compile(r"[_.\-~ @+(\[]")
_ENDINGS = re.compile(r"[_.\-](decoded|reconstructed|resynth|recon|rec|output|converted)$")


class Matching:
    """The files of one folder, found by the names of originals. names: paths without the last suffix -> whatever stands for
    the file; several files may have one name."""

    def __init__(self, names: Iterable[tuple[str, str]]) -> None:
        given = list(names)
        stems = [name.rpartition("/")[2] for name, _ in given]
        endings, beginnings = shared(stems), [text[::-1] for text in shared([stem[::-1] for stem in stems])]
        self._tables: dict[tuple[int, str], dict[str, set[str]]] = {}
        for name, file in given:
            readings = ({name}, {_bare(name)}, set(_cut(name, endings, beginnings)), {_ENDINGS.sub("", name.lower())})
            for level, reading in enumerate(readings):
                for one in reading:
                    for form, key in _forms(one):
                        self._tables.setdefault((level, form), {}).setdefault(key, set()).add(file)

    def find(self, wanted: str) -> str | None:
        """The file of the original called `wanted` (path without suffix); None when there is none, or more than one."""
        # From the strictest way of reading a name to the loosest.
        for level in range(4):
            for form, key in _forms(wanted):
                found = self._tables.get((level, form), {}).get(key, set())
                if len(found) == 1:
                    return next(iter(found))
                if found and form == "path":  # the same name with two suffixes
                    return None
        return None


def _forms(name: str) -> Iterator[tuple[str, str]]:
    """The ways in which a name is compared: its whole path, its last part, and both without regard to separators."""
    bare = name.rpartition("/")[2]
    yield from (("path", name), ("name", bare), ("plain path", _plain(name)), ("plain name", _plain(bare)))


def shared(stems: Sequence[str]) -> list[str]:
    """Endings that all of `stems` have, from a separator on, longest first."""
    common = os.path.commonprefix([stem[::-1] for stem in stems])[::-1]  # noqa: RUF071 - characters are meant
    return [common[at:] for at in range(len(common)) if _EDGE.match(common[at])]


def explain(unmatched: Sequence[str], surplus: Sequence[str], label: str) -> Iterator[str]:
    """Lines for what did not match: two originals, the surplus files, and the rule."""
    if unmatched:
        some = ", ".join(unmatched[:2]) + (f" and {len(unmatched) - 2} more" if len(unmatched) > 2 else "")
        yield f"{label}: no decoded file for {some}"
    if surplus:
        some = ", ".join(surplus[:5]) + (f" and {len(surplus) - 5} more" if len(surplus) > 5 else "")
        yield f"{label}: no utterance for {some}"
    if unmatched:
        yield f"{label}: {RULE}"


def pairs(originals: Iterable[str], files: Mapping[str, str]) -> dict[str, str]:
    """Original -> file, of those that match. files: name without suffix -> file."""
    matching = Matching(files.items())
    found = {name: matching.find(name) for name in originals}
    return {name: file for name, file in found.items() if file is not None}


def _bare(name: str) -> str:
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.suffix.lower() in AUDIO else name


def _cut(name: str, endings: Sequence[str], beginnings: Sequence[str]) -> Iterator[str]:
    folder, slash, stem = name.rpartition("/")
    for ending in ("", *endings):
        for beginning in ("", *beginnings):
            if len(stem) > len(ending) + len(beginning) and (ending or beginning):
                yield folder + slash + _bare(stem[len(beginning) : len(stem) - len(ending)])


def _plain(name: str) -> str:
    return re.sub(r"[/_\-\s]+", "_", name).lower()
