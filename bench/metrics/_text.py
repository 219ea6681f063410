"""Text normalisation and edit counts for error rates."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from bench.metrics import Ratio
from bench.metrics._common import package_file

# Whisper's two normalisers: the English one rewrites numbers, contractions and spellings; the basic one drops symbols.
ENGLISH, BASIC = "english", "basic"
SPOKEN = "spoken"
"""Whisper's English one, mended: a word is what is spoken. See `_spoken`."""
CHARACTERS = "characters"
"""For languages without spaces between words: letters, their marks and digits, each a word of its own."""

_APOSTROPHES = dict.fromkeys(map(ord, "’‘ʼʻ‛＇′´`ʹ"), "'")
_LEADING_ZERO = re.compile(r"(?<![\w.,])0\d+(?![\w]|[.,]\d)")
_SINGLE_DIGITS = re.compile(r"(?<![\w.,])\d(?:,\d)+(?!\w|[.,]\d)")
_ZERO = re.compile(r"(?<![\w.,$£€¢+-])0(?![\w%]|[.,]\d)")
_BETWEEN_DIGITS = re.compile(r"(?<=\d)(?=\d)")


@lru_cache(maxsize=65_536)
def normalise(text: str, rules: str = ENGLISH) -> str:
    """`text` after the normaliser `rules` (english, basic, spoken, characters), single spaces, no ends."""
    if rules == SPOKEN:
        return _spoken(text)
    if rules == CHARACTERS:
        folded = unicodedata.normalize("NFKC", text).casefold()
        return " ".join(_clusters("".join(c for c in folded if unicodedata.category(c)[0] in "LMN")))
    return " ".join(_normaliser(rules)(text).split())


def normaliser_files() -> list[Path]:
    """The table of spellings that the English rules read. Raises WeightsMissing."""
    return [package_file("whisper_normalizer", "normalizers", "english.json")]


def _spoken(text: str) -> str:
    """Whisper's English rules with three faults mended.

    Typographic apostrophes are apostrophes ("don’t" is "don't"). Tokens without letter or digit are no words. Digits count
    one by one, so that "zero one", "0 1", "01" and "0, 1" are the same two words: Whisper's rules join spoken digits, keep
    written ones apart and write a lone 1 as "one".
    """
    apart = _SINGLE_DIGITS.sub(lambda digits: digits[0].replace(",", " "), text.translate(_APOSTROPHES))
    apart = _LEADING_ZERO.sub(lambda digits: " ".join(digits[0]), apart)
    apart = _ZERO.sub("zero", apart)  # "0 four" would lose its zero
    words = (_digits(word) for word in _normaliser(ENGLISH)(apart).split())
    return " ".join(word for word in words if any(c.isalnum() for c in word))


def _digits(word: str) -> str:
    bare = word.lstrip("+-")
    if bare in ("one", "ones"):
        return bare.replace("one", "1")
    return _BETWEEN_DIGITS.sub(" ", bare) if any(c.isdigit() for c in bare) else word


def _clusters(text: str) -> list[str]:
    """Letters and digits, each with the marks that follow it."""
    found: list[str] = []
    for c in text:
        if found and unicodedata.category(c)[0] == "M":
            found[-1] += c
        else:
            found.append(c)
    return found


@cache
def _normaliser(rules: str) -> Any:
    if rules == ENGLISH:
        from whisper_normalizer.english import EnglishTextNormalizer

        return EnglishTextNormalizer()
    if rules == BASIC:
        from whisper_normalizer.basic import BasicTextNormalizer

        return BasicTextNormalizer()
    raise ValueError(f"unknown normaliser '{rules}': '{ENGLISH}', '{BASIC}', '{SPOKEN}' or '{CHARACTERS}'")


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
