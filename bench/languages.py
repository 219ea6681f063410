"""Languages by every name that people give them: `EN`, `en_US`, `eng` and `English` are all English.

`code` gives the BCP 47 tag that rows carry: the shortest ISO 639 code of the language (two letters where there are such),
then script and region as given. Names and codes are those of ISO 639 (package python-iso639), and the few usual ones that
the standard lacks.
"""

from __future__ import annotations

import re
from functools import cache

from bench.errors import UnknownName

UNSAID = frozenset(("", "-", "?", "und", "unk", "unknown", "none", "null", "nan", "n/a"))
"""Words in place of a language that say nothing of it."""
WITHOUT_SPACES = frozenset(("zh", "yue", "wuu", "nan", "ja", "th", "lo", "km", "my", "bo", "dz"))
"""Languages that are written without spaces between words: their error rates count characters."""
_USUAL = {
    "greek": "el", "mandarin": "zh", "cantonese": "yue", "taiwanese": "nan", "farsi": "fa", "malay": "ms", "nepali": "ne",
    "swahili": "sw", "burmese": "my", "myanmar": "my", "filipino": "tl", "fil": "tl", "iw": "he", "in": "id", "ji": "yi",
    "jw": "jv", "mo": "ro", "sh": "sr", "cn": "zh", "jp": "ja", "cz": "cs", "dk": "da", "gr": "el",
    "deutsch": "de", "español": "es", "espanol": "es", "français": "fr", "francais": "fr", "italiano": "it", "português": "pt",
    "portugues": "pt", "nederlands": "nl", "polski": "pl", "русский": "ru", "українська": "uk", "türkçe": "tr",
    "svenska": "sv", "norsk": "no", "dansk": "da", "suomi": "fi", "čeština": "cs", "magyar": "hu", "română": "ro",
    "ελληνικά": "el", "中文": "zh", "普通话": "zh", "汉语": "zh", "粤语": "yue", "日本語": "ja", "한국어": "ko", "العربية": "ar",
    "עברית": "he", "हिन्दी": "hi", "ไทย": "th", "tiếng việt": "vi", "bahasa indonesia": "id",
}  # fmt: skip
"""Lower-case names and codes that ISO 639 lacks or spells otherwise -> code."""


@cache
def code(text: str) -> str:
    """`text` as a BCP 47 tag: en, en-US, zh-Hant-TW; "" for words that say nothing. Raises UnknownName."""
    plain = re.sub(r"\s+", " ", text).strip().lower()
    if plain in UNSAID:
        return ""
    found = _of(plain)
    if found:
        return found
    first, *rest = re.split(r"[-_]", re.sub(r"[.@].*", "", plain))  # en_US.UTF-8
    if len(first) <= 3 and (found := _of(first)):
        return "-".join([found, *(_part(one) for one in rest if one.isalnum())])
    # `English (US)`, `English, British`, `American English`.
    words = re.split(r"[\s(),/-]+", plain)
    found = next((one for word in (words[0], words[-1]) if len(word) > 3 and (one := _of(word))), "")
    if not found:
        raise UnknownName("language", text.strip()[:40], _known())
    return found


def primary(text: str) -> str:
    """The language itself, without script and region: en. What is no language is given back in lower case."""
    try:
        return code(text).partition("-")[0]
    except UnknownName:
        return re.split(r"[-_]", text.strip().lower())[0]


def _part(subtag: str) -> str:
    return subtag.upper() if len(subtag) == 2 else subtag.title() if len(subtag) == 4 and subtag.isalpha() else subtag


@cache
def _of(name: str) -> str:
    """The code of a lower-case name or code; "" where it is none."""
    if name in ("en", "eng", "english"):  # no table is read for the usual one
        return "en"
    if name in _USUAL:
        return _USUAL[name]
    if len(name) < 2:
        return ""
    import iso639

    try:
        language = iso639.Language.match(name, strict_case=False)
    except iso639.LanguageNotFoundError:
        return ""
    if language.part1 or language.part3 in WITHOUT_SPACES or not language.macrolanguage:
        return language.part1 or language.part3
    return iso639.Language.from_part3(language.macrolanguage).part1 or language.part3


def _known() -> list[str]:
    import iso639

    return [*_USUAL, *(language.name.lower() for language in iso639.ALL_LANGUAGES if language.part1)]
