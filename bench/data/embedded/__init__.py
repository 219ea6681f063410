"""Synthetic English speech that ships with the bench: 28 Kokoro voices, 5 sentences each, 16 kHz, exact texts.

The first two sentences are spoken by every voice (parallel pairs for voice conversion), the other three by one voice
alone. It is synthetic: scores on it rank codecs on clean, easy speech and are not those of recorded speech.
Subsets: `parallel`, `own`, `american`, `british`, `female`, `male`, or a voice's name. Made by tools/make_embedded.py.
With the subset `words` they are the ten digits instead, one by one, in these voices and in mixtures of them (of two
genders: neither `female` nor `male`). Made by tools/make_words.py.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from bench.data import Source
from bench.errors import UnknownName
from bench.speech import Dataset, Utterance

FOLDER = Path(__file__).resolve().parent
LICENCE = "Apache-2.0"
VOICES = "Kokoro-82M"
"""The synthesizer that speaks; what it speaks with here are all of its English voices."""
PARALLEL_SENTENCES = ("1", "2")
WORDS = "words"


def load(source: Source) -> Dataset:
    """All 140 sentences (with `#words` the words), or those in every kind of subset named: `#parallel+british+male`."""
    spoken = _word if WORDS in source.subsets else _sentence
    utterances = tuple(map(spoken, rows("words.tsv" if WORDS in source.subsets else "manifest.tsv")))
    name = source.title()
    if subsets := tuple(name for name in source.subsets if name != WORDS):
        utterances = _chosen(utterances, subsets)
    return Dataset(name, utterances, licence=LICENCE, synthetic=True, root=FOLDER,
                   facts={"voices": VOICES, "text": "written for this benchmark"})  # fmt: skip


def rows(manifest: str = "manifest.tsv") -> list[dict[str, str]]:
    """A manifest, one dict per utterance."""
    with (FOLDER / manifest).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _sentence(row: dict[str, str]) -> Utterance:
    return _utterance(row, sentence=row["sentence"], parallel=row["sentence"] in PARALLEL_SENTENCES)


def _word(row: dict[str, str]) -> Utterance:
    return _utterance(row, speed=float(row["speed"]))


def _utterance(row: dict[str, str], **extra: Any) -> Utterance:
    return Utterance(
        row["id"], FOLDER / row["file"], row["speaker"], row["text"], language="en", gender=row["gender"] or None,
        accent=row["accent"], licence=LICENCE,
        extra={**extra, "sha256": row["sha256"], "samples": int(row["samples"]), "synthetic": row["synthetic"] == "true"},
    )  # fmt: skip


def _chosen(utterances: tuple[Utterance, ...], subsets: tuple[str, ...]) -> tuple[Utterance, ...]:
    kinds: list[dict[str, set[str]]] = [
        {"parallel": {u.id for u in utterances if u.extra.get("parallel")},
         "own": {u.id for u in utterances if u.extra.get("parallel") is False}},
        {accent.lower(): {u.id for u in utterances if u.accent == accent} for accent in ("American", "British")},
        {gender: {u.id for u in utterances if u.gender == gender} for gender in ("female", "male")},
        {voice: {u.id for u in utterances if u.speaker == voice} for voice in {u.speaker for u in utterances}},
    ]  # fmt: skip
    known = {name for kind in kinds for name in kind}
    for subset in subsets:
        if subset not in known:
            raise UnknownName("subset of embedded", subset, known)
    kept = {u.id for u in utterances}
    # Names of one kind add up (two voices), different kinds narrow down (British and male).
    for kind in kinds:
        asked = [kind[name] for name in subsets if name in kind]
        if asked:
            kept &= set().union(*asked)
    return tuple(u for u in utterances if u.id in kept)
