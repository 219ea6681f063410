"""Languages by all of their names."""

from __future__ import annotations

import pytest

from bench import languages
from bench.errors import UnknownName


@pytest.mark.parametrize("name", ["en", "EN", "eng", "English", "english", "ENGLISH", " en ", "English (US)", "American English"])
def test_english(name: str) -> None:
    assert languages.code(name) == "en"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("en_US", "en-US"), ("en-us", "en-US"), ("en_US.UTF-8", "en-US"), ("pt-BR", "pt-BR"), ("zh_Hant_TW", "zh-Hant-TW"),
        ("cmn_hans_cn", "zh-Hans-CN"), ("Mandarin", "zh"), ("zho", "zh"), ("chi", "zh"), ("ger", "de"), ("deu", "de"),
        ("Deutsch", "de"), ("français", "fr"), ("arb", "ar"), ("Cantonese", "yue"), ("yue", "yue"), ("fil", "tl"), ("iw", "he"),
        ("Greek", "el"), ("日本語", "ja"), ("haw", "haw"), ("", ""), ("und", ""), ("N/A", ""), ("Unknown", ""),
    ],
)  # fmt: skip
def test_names_and_codes(name: str, expected: str) -> None:
    assert languages.code(name) == expected
    assert languages.code(languages.code(name)) == expected, "a code is its own code"


def test_every_two_letter_code_is_itself() -> None:
    import iso639

    for language in iso639.ALL_LANGUAGES:
        if language.part1 and language.part1 not in ("sh",):
            assert languages.primary(language.part1) == language.part1
            assert languages.primary(language.part3) == language.part1


def test_unknown_ones_bring_the_nearest() -> None:
    with pytest.raises(UnknownName, match="english"):
        languages.code("Englsh")
    assert languages.primary("Englsh") == "englsh"
