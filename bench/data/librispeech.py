"""LibriSpeech: read English, 16 kHz (Panayotov et al., ICASSP 2015; openslr.org/12), CC BY 4.0.

Layout SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac with SPEAKER-CHAPTER.trans.txt ("ID TEXT" a line). Subsets are
the release's own (test-clean, test-other, dev-*, train-*); without one: test-clean, or whichever are there under PATH.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.data import Source
from bench.data.places import check_subsets, locate, missing
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY 4.0"
FOLDERS = ("LibriSpeech",)
# subset: bytes, sha256, utterances in the release
RELEASE: dict[str, tuple[int, str, int]] = {
    "test-clean": (346663984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23", 2620),
    "test-other": (328757843, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29", 2939),
    "dev-clean": (337926286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3", 2703),
    "dev-other": (314305928, "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365", 2864),
    "train-clean-100": (6387309499, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2", 28539),
    "train-clean-360": (23049477885, "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf", 104014),
    "train-other-500": (30593501606, "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2", 148688),
}
SPEAKERS = "LibriSpeech/SPEAKERS.TXT"
_NAME = re.compile(r"(?P<speaker>\d+)[-_](?P<chapter>\d+)[-_](?P<sentence>\d{4})")
CURE = "Put the subset's folder there, or leave PATH out to have it downloaded from openslr.org/12."


def archive(subset: str) -> Archive:
    """Where a subset is downloaded from."""
    size, sha256, _ = RELEASE[subset]
    places = {f"LibriSpeech/{subset}": f"LibriSpeech/{subset}", SPEAKERS: SPEAKERS}
    url = f"https://www.openslr.org/resources/12/{subset}.tar.gz"
    return Archive(url, places, f"sha256:{sha256}", size, optional=(SPEAKERS,))


def load(source: Source) -> Dataset:
    """The subsets asked for, in the order of the release's file names."""
    check_subsets(source, RELEASE)
    subsets = source.subsets
    if not subsets and source.path is not None:
        subsets = tuple(name for name in RELEASE if locate(source, FOLDERS, [name]))
    subsets = subsets or ("test-clean",)
    utterances: list[Utterance] = []
    root: Path | None = None
    for subset in subsets:
        root = locate(source, FOLDERS, [subset])
        if root is None and source.path is None:
            root = install(archive(subset)) / "LibriSpeech"
        if root is None:
            raise missing(source, FOLDERS, [subset], CURE)
        utterances += read(root, subset)
    facts = {"expected": sum(RELEASE[name][2] for name in subsets)}
    return Dataset(source.title(*subsets), tuple(utterances), licence=LICENCE, root=root, facts=facts)


def read(root: Path, subset: str) -> list[Utterance]:
    """Utterances of one subset folder, sorted by path. Those without a line in a transcript have no text."""
    genders = _genders(root / "SPEAKERS.TXT")
    found: list[Utterance] = []
    for chapter in sorted(path for path in (root / subset).glob("*/*") if path.is_dir()):
        texts = transcripts(chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt")
        for path in sorted(item for item in chapter.iterdir() if item.suffix in (".flac", ".wav")):
            speaker = chapter.parent.name
            extra = {"subset": subset, "chapter": chapter.name}
            found.append(Utterance(path.stem, path, speaker, texts.get(path.stem), gender=genders.get(speaker),
                                   licence=LICENCE, extra=extra))  # fmt: skip
    return found


def transcripts(path: Path) -> dict[str, str]:
    """Lines "ID TEXT" of a trans.txt; none where there is no such file."""
    if not path.is_file():
        return {}
    pairs = (line.strip().partition(" ") for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {name: text.strip() for name, _, text in pairs if text.strip()}


def said(root: Path, name: str) -> str | None:
    """The text of the utterance SPEAKER-CHAPTER-NNNN (or with _) of any subset; None where it is not there."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    speaker, chapter, sentence = match.groups()
    tables = (root / subset / speaker / chapter / f"{speaker}-{chapter}.trans.txt" for subset in RELEASE)
    return next((text for table in tables if (text := transcripts(table).get(f"{speaker}-{chapter}-{sentence}"))), None)


def _genders(path: Path) -> dict[str, str]:
    """SPEAKERS.TXT: "ID | SEX | SUBSET | MINUTES | NAME", comments after ;."""
    if not path.is_file():
        return {}
    rows = (line.split("|") for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(";"))
    sexes = {"F": "female", "M": "male"}
    return {row[0].strip(): sexes[row[1].strip()] for row in rows if len(row) > 1 and row[1].strip() in sexes}
