"""Text normalisation and edit counts for error rates."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bench.metrics import Ratio
from bench.metrics._common import package_file

# Whisper's two normalisers: the English one rewrites numbers, contractions and spellings; the basic one drops symbols.
ENGLISH, BASIC = "english", "basic"


@lru_cache(maxsize=65_536)
def normalise(text: str, rules: str = ENGLISH) -> str:
    """`text` after Whisper's normaliser `rules` ("english" or "basic"), single spaces, no ends."""
    return " ".join(_normaliser(rules)(text).split())


def normaliser_files() -> list[Path]:
    """The table of spellings that the English rules read. Raises WeightsMissing."""
    return [package_file("whisper_normalizer", "normalizers", "english.json")]


@cache
def _normaliser(rules: str) -> Any:
    if rules == ENGLISH:
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()
    if rules == BASIC:
        from whisper_normalizer.basic import BasicTextNormalizer

        return BasicTextNormalizer()
    raise ValueError(f"unknown normaliser '{rules}': '{ENGLISH}' or '{BASIC}'")


def word_errors(reference: str, hypothesis: str) -> Ratio:
    """Edits over words of normalised texts. An empty reference counts its insertions over zero words."""
    ref, hyp = reference.split(), hypothesis.split()
    return Ratio(_edits(ref, hyp), len(ref))


def char_errors(reference: str, hypothesis: str) -> Ratio:
    """Edits over characters of normalised texts; spaces between words are characters."""
    return Ratio(_edits(reference, hypothesis), len(reference))


def _edits(a: str | list[str], b: str | list[str]) -> float:
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.distance(a, b))
