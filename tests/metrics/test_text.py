"""Normalised texts: what counts as a word, and what counts alike."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from bench.metrics import Column, MetricFailure, Ratio, Signal
from bench.metrics._text import CHARACTERS, ENGLISH, SPOKEN, char_errors, normalise, word_errors
from bench.metrics.shapes import of_texts

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_digits_count_alike_however_they_are_written() -> None:
    draw = random.Random(0)
    for _ in range(300):
        digits = [draw.randrange(10) for _ in range(draw.randint(1, 7))]
        expected = " ".join(map(str, digits))
        words = [DIGITS[digit] for digit in digits]
        texts = [" ".join(words), " ".join(words).upper() + ".", ", ".join(words), expected, ", ".join(map(str, digits)),
                 ",".join(map(str, digits)), "".join(map(str, digits)), ". ".join(map(str, digits)) + "."]  # fmt: skip
        mixed = " ".join(draw.choice((word, str(digit))) for word, digit in zip(words, digits, strict=True))
        for text in [*texts, mixed]:
            if "." in text[:-1] and len(digits) > 1 and ". " not in text:
                continue
            assert normalise(text, SPOKEN) == expected, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twenty five", "2 5"), ("25", "2 5"), ("one hundred and one", "1 0 1"), ("1,234 people", "1 2 3 4 people"),
        ("nineteen ninety five", "1 9 9 5"), ("three point five", "3.5"), ("3.5", "3.5"), ("0.5", "0.5"), ("007", "0 0 7"),
        ("minus one", "1"), ("-1", "1"), ("the first", "the 1st"), ("no one", "no 1"), ("someone", "someone"),
    ],
)  # fmt: skip
def test_numbers(text: str, expected: str) -> None:
    assert normalise(text, SPOKEN) == expected


@pytest.mark.parametrize("mark", list("’‘ʼ‛＇′´`"))
def test_typographic_apostrophes_are_apostrophes(mark: str) -> None:
    for text in ("don't stop", "it's the dogs' bone", "we'll say 'yes'", "o'clock", "'tis so", "rock 'n' roll"):
        assert normalise(text.replace("'", mark), SPOKEN) == normalise(text, SPOKEN)


@pytest.mark.parametrize("text", ["", "...", ". . .", "Um, uh... mm", "— – -", "?!", "♪", "(laughs)", "% $"])
def test_what_is_no_word_is_dropped(text: str) -> None:
    assert normalise(text, SPOKEN) == ""


def test_a_stray_symbol_changes_nothing() -> None:
    words = ["he", "began", "a", "confused", "complaint"]
    for place, mark in itertools.product(range(len(words) + 1), (".", "-", "...", "$", "—", "%")):
        text = " ".join([*words[:place], mark, *words[place:]])
        assert normalise(text, SPOKEN) == " ".join(words), text


def test_plain_texts_are_as_whisper_has_them() -> None:
    for text in ("Mr. Quilter's colour, isn't it?", "HE BEGAN A CONFUSED COMPLAINT", "Going to the café, you'd say"):
        assert normalise(text, SPOKEN) == normalise(text, ENGLISH)


def test_characters() -> None:
    assert normalise("今天，天氣 很好。", CHARACTERS) == "今 天 天 氣 很 好"
    assert normalise("ＡＢ１", CHARACTERS) == "a b 1"
    assert len(normalise("ที่นี่", CHARACTERS).split()) == 2, "marks stay with their letter"


def recogniser(true: bool, rules: str):  # type: ignore[no-untyped-def]
    """A metric whose transcript of a wave is the text of its first sample."""
    texts = ("today is good", "今天天气很好", "今天天氣好", "")
    columns = tuple(Column(name, name) for name in ("dwer", "dcer", "wer", "cer"))
    return of_texts(
        "toy", columns[:2], columns[2:] if true else (), rules=rules,
        analyse=lambda signals: [{"transcript": texts[int(signal.wave[0])]} for signal in signals],
    )  # fmt: skip


def signal(index: int, text: str | None, language: str = "en") -> Signal:
    return Signal(np.full(16_000, index, np.float32), 16_000, text, language)


def test_languages_without_spaces_count_characters() -> None:
    metric = recogniser(True, ENGLISH)
    for name in ("zh", "zh-CN", "cmn", "Chinese"):
        found = metric.score(signal(1, "今天天气很好", name), signal(2, "今天天气很好", name))
        assert found["dwer"] == Ratio(2.0, 6) and found["wer"] == Ratio(2.0, 6)
    assert metric.score(signal(1, "今天天气很好"), signal(2, "今天天气很好"))["dwer"] == Ratio(1.0, 1)


@pytest.mark.parametrize("text", ["...", "", "Um, uh... mm", None])
def test_a_text_without_words_has_no_score(text: str | None) -> None:
    found = recogniser(True, SPOKEN).score(signal(0, text), signal(0, text))
    for column in ("wer", "cer"):
        assert isinstance(found[column], MetricFailure) and found[column].kind == "no_text"
    assert found["dwer"] == Ratio(0.0, 3)


def test_the_text_belongs_to_the_key_of_a_metric_that_reads_it() -> None:
    assert recogniser(True, SPOKEN).needs_text and not recogniser(False, SPOKEN).needs_text


def test_spoken_words_are_counted() -> None:
    a, b = (normalise(text, SPOKEN) for text in ("ZERO ONE", "0, 2"))
    assert word_errors(a, b) == Ratio(1.0, 2) and char_errors(a, b) == Ratio(1.0, 3)
