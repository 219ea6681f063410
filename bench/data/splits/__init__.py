"""How data sets are divided for the probes: lists that ship, with their hashes. Written by tools/make_splits.py.

embedded_sentences: no voice and no sentence is in two parts. embedded_words: no voice, and no part of a mixed one, is in
two parts. embedded_si: every voice in every part, sentences apart. ravdess, iemocap: folds of speakers (test: the fold
named; valid: the next; train: the others).
fsdd_speakers: the release's own test part. iemocap_focalcodec: the single division of the FocalCodec paper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchError, UnknownName
from bench.speech import Dataset, Utterance

FOLDER = Path(__file__).resolve().parent
PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Split:
    """One list. key: what is listed ("id" or "speaker"). `places` maps it to a part, or to a fold where `folded`."""

    name: str
    key: str
    folded: bool
    places: Mapping[str, str]
    sha256: str

    @property
    def folds(self) -> tuple[str, ...]:
        """Names of the folds in order; empty for a single division."""
        return tuple(sorted(set(self.places.values()), key=int)) if self.folded else ()

    def parts(self, dataset: Dataset, fold: str | int | None = None) -> dict[str, Dataset]:
        """train, valid and test out of `dataset`; what is not listed is left out.

        fold: which fold tests (needed where there are folds). Raises BenchError when a part comes out empty.
        """
        where = self._fold_parts(fold)
        taken: dict[str, list[Utterance]] = {part: [] for part in PARTS}
        for utterance in dataset:
            place = self.places.get(utterance.id if self.key == "id" else utterance.speaker)
            if place is not None:
                taken[where[place]].append(utterance)
        for part, utterances in taken.items():
            if not utterances:
                raise BenchError(f"split {self.name}: no utterance of '{dataset.name}' is in its {part} part; "
                                 f"is this the data set that the list was made for?")  # fmt: skip
        return {part: dataset.select(utterances) for part, utterances in taken.items()}

    def _fold_parts(self, fold: str | int | None) -> dict[str, str]:
        if not self.folded:
            if fold is not None:
                raise BenchError(f"split {self.name} is a single division: it has no folds")
            return {part: part for part in PARTS}
        if str(fold) not in self.folds:
            raise UnknownName(f"fold of {self.name}", str(fold), self.folds)
        test = self.folds.index(str(fold))
        valid = (test + 1) % len(self.folds)
        return {name: "test" if n == test else "valid" if n == valid else "train" for n, name in enumerate(self.folds)}


def names() -> list[str]:
    """Every split that ships."""
    return sorted(path.stem for path in FOLDER.glob("*.tsv"))


def load(name: str) -> Split:
    """Read a split. Raises UnknownName, and BenchError when the file is not the one that was shipped."""
    if name not in names():
        raise UnknownName("split", name, names())
    path = FOLDER / f"{name}.tsv"
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    lines = (line.split() for line in (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    if {file: wanted for wanted, file in lines}.get(path.name) != digest:
        raise BenchError(f"{path}: differs from SHA256SUMS; restore it, or make it anew with tools/make_splits.py")
    head, *rows = (line.split("\t") for line in data.decode().splitlines())
    return Split(name, head[0], head[1] == "fold", {row[0]: row[1] for row in rows}, digest)
