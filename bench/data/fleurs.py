"""FLEURS: read sentences in many languages, 16 kHz (Conneau et al., SLT 2022), CC BY 4.0. Local files only.

Two layouts: LANGUAGE/NAME.{wav,ogg,...} with NAME.txt beside it, and the release's LANGUAGE/SPLIT.tsv (id, file, raw
text, text, phonemes, samples, gender) with audio/SPLIT/. Subsets: languages, and a split (default test). FLEURS names
no speakers: each recording counts as a speaker of its own. Files in a lossy format are marked: no clean references.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.data import Source
from bench.data.places import audio_files, candidates, missing, text_of
from bench.errors import UnknownName
from bench.speech import Dataset, Utterance

LICENCE = "CC BY 4.0"
FOLDERS = ("FLEURS", "fleurs", "data")
SPLITS = ("test", "dev", "train")
_CODE = re.compile(r"[a-z]{2,3}(_[a-z]{2,4})*")
LOSSY = (".ogg", ".opus", ".mp3")
CURE = "FLEURS is on the hub as google/fleurs; unpack the languages wanted and name the folder as PATH."


def load(source: Source) -> Dataset:
    """One split of the languages asked for, or of all that are there."""
    split = next((name for name in source.subsets if name in SPLITS), "test")
    wanted = [name for name in source.subsets if name not in SPLITS]
    for root in candidates(source, FOLDERS):
        folders = sorted(root.iterdir()) if root.is_dir() else []
        there = {path.name: path for path in folders if path.is_dir() and _CODE.fullmatch(path.name)}
        every = {name: _read(path, split) for name, path in there.items()}
        for name in wanted if any(every.values()) else ():
            if name not in there:
                raise UnknownName("subset of fleurs", name, [*there, *SPLITS])
        found = {name: items for name, items in every.items() if not wanted or name in wanted}
        if any(found.values()):
            utterances = tuple(u for items in found.values() for u in items)
            lossy = any(u.extra["lossy"] for u in utterances)
            return Dataset(source.title(), utterances, licence=LICENCE, root=root,
                           condition="lossy original" if lossy else "clean")  # fmt: skip
    raise missing(source, FOLDERS, wanted, CURE)


def _read(folder: Path, split: str) -> list[Utterance]:
    language = folder.name.partition("_")[0]
    table = folder / f"{split}.tsv"
    if not table.is_file():
        return [_utterance(path, path.stem, language, text_of(path.with_suffix(".txt")), None)
                for path in audio_files(folder, "*")]  # fmt: skip
    found: list[Utterance] = []
    for line in table.read_text(encoding="utf-8").splitlines():
        row = line.split("\t")
        path = folder / "audio" / split / row[1] if len(row) > 2 else None
        if path is not None and path.is_file():
            gender = row[6].strip().lower() if len(row) > 6 and row[6].strip() else None
            found.append(_utterance(path, f"{folder.name}-{path.stem}", language, row[2].strip() or None, gender))
    return found


def _utterance(path: Path, name: str, language: str, text: str | None, gender: str | None) -> Utterance:
    lossy = path.suffix.lower() in LOSSY
    return Utterance(name, path, name, text, language, gender, licence=LICENCE, extra={"lossy": lossy})
