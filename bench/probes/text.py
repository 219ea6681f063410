"""Characters of the ASR probe: blank, space, apostrophe and a..z (29 classes, as FocalCodec's recipe)."""

from __future__ import annotations

import re
from collections.abc import Sequence

BLANK = 0
ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
CLASSES = len(ALPHABET) + 1
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def normalise(text: str) -> str:
    """Lower case, digits spelt out one by one, hyphens to spaces, everything outside the alphabet dropped."""
    text = re.sub(r"\d", lambda match: f" {_DIGITS[int(match.group())]} ", text.lower().replace("’", "'"))
    text = re.sub(r"[-–—/]", " ", text)
    return re.sub(r"\s+", " ", "".join(letter for letter in text if letter in ALPHABET)).strip()


def encode(text: str) -> list[int]:
    """Text -> class indices (1..28)."""
    return [ALPHABET.index(letter) + 1 for letter in normalise(text)]


def greedy(best: Sequence[int]) -> str:
    """CTC decoding of the best class per frame: repeats merged, blanks dropped."""
    letters = []
    last = BLANK
    for index in best:
        if index not in (last, BLANK):
            letters.append(ALPHABET[index - 1])
        last = index
    return re.sub(r"\s+", " ", "".join(letters)).strip()
