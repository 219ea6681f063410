"""Multilingual LibriSpeech: read speech in eight languages, 16 kHz (Pratap et al. 2020; openslr.org/94), CC BY 4.0.

Layout mls_LANGUAGE/{train,dev,test}/audio/SPEAKER/BOOK/SPEAKER_BOOK_NNNNNN.flac with transcripts.txt ("ID<tab>TEXT");
a flat folder of LANGUAGE_SPEAKER_BOOK_NNNNNN.flac is read too. Subsets: languages (dutch or nl, ...) and a split
(train, dev, test; default test). Without a language: all that are there; downloads need one named.
"""

from __future__ import annotations

from pathlib import Path

from bench.data import Source
from bench.data.places import audio_files, candidates, check_subsets, missing
from bench.errors import DataMissing
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY 4.0"
FOLDERS = ("MLS", "mls", "")
LANGUAGES = {"dutch": "nl", "french": "fr", "german": "de", "italian": "it", "polish": "pl", "portuguese": "pt",
             "spanish": "es", "english": "en"}  # fmt: skip
SPLITS = ("train", "dev", "test")
CURE = "Put mls_LANGUAGE/ there, or leave PATH out and name a language (mls#polish) to have it downloaded."


def archive(language: str) -> Archive:
    """The FLAC release of one language. Its checksum is not published: the first one seen is noted."""
    name = f"mls_{language}"
    return Archive(f"https://dl.fbaipublicfiles.com/mls/{name}.tar.gz", {name: f"MLS/{name}"})


def load(source: Source) -> Dataset:
    """One split of the languages asked for, sorted by language and id."""
    languages, split = chosen(source)
    root = find(source, FOLDERS, languages, split)
    if root is None and source.path is None:
        if not languages:
            raise DataMissing(f"mls: {CURE}")
        for language in languages:
            root = install(archive(language)) / "MLS"
    if root is None:
        raise missing(source, FOLDERS, [f"mls_{name}/{split}" for name in languages], CURE)
    return Dataset(source.title(), tuple(read(root, languages, split)), licence=LICENCE, root=root)


def chosen(source: Source) -> tuple[tuple[str, ...], str]:
    """(languages by their English names, split) that the subsets name."""
    codes = {code: name for name, code in LANGUAGES.items()}
    check_subsets(source, [*LANGUAGES, *codes, *SPLITS])
    splits = [name for name in source.subsets if name in SPLITS]
    languages = tuple(codes.get(name, name) for name in source.subsets if name not in SPLITS)
    return languages, splits[0] if splits else "test"


def find(source: Source, folders: tuple[str, ...], languages: tuple[str, ...], split: str) -> Path | None:
    """The folder that holds every language asked for (any, when none is)."""
    for folder in candidates(source, folders):
        there = {name for name in LANGUAGES if _files(folder, name, split)}
        if there and there.issuperset(languages):
            return folder
    return None


def read(root: Path, languages: tuple[str, ...], split: str) -> list[Utterance]:
    """Utterances of one split. Ids begin with the language: dutch_4396_4370_000122."""
    found: list[Utterance] = []
    for language in languages or LANGUAGES:
        texts = _texts(root / f"mls_{language}" / split / "transcripts.txt")
        for path in _files(root, language, split):
            name = path.stem.removeprefix(f"{language}_")
            found.append(Utterance(
                f"{language}_{name}", path, f"{language}_{name.partition('_')[0]}", texts.get(name),
                language=LANGUAGES[language], licence=LICENCE, extra={"split": split},
            ))  # fmt: skip
    return found


def _files(root: Path, language: str, split: str) -> list[Path]:
    audio = root / f"mls_{language}" / split / "audio"
    if audio.is_dir():
        return audio_files(audio)
    return audio_files(root, f"{language}_*") if root.is_dir() and split == "test" else []


def _texts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: text.strip() for name, _, text in pairs if text.strip()}
