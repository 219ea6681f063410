"""Free Spoken Digit Dataset: six speakers say ten digits, 8 kHz, CC BY-SA 4.0.

From github.com/Jakobovski/free-spoken-digit-dataset. Layout recordings/DIGIT_SPEAKER_INDEX.wav. Subsets: test
(indices 0 to 4, the release's own test part), train (the rest), a speaker's name.
"""

from __future__ import annotations

import re

from bench.data import Source
from bench.data.places import audio_files, locate, missing
from bench.errors import UnknownName
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY-SA 4.0"
FOLDERS = ("FSDD", "free-spoken-digit-dataset", "free-spoken-digit-dataset-1.0.9")
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LAST_TEST_INDEX = 4
ARCHIVE = Archive(
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",
    {"free-spoken-digit-dataset-1.0.9/recordings": "FSDD/recordings"},
    "sha256:8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
    11975353,
    label="free-spoken-digit-dataset-1.0.9.tar.gz",
)
CURE = "Put the folder recordings/ there, or leave PATH out to have it downloaded (12 MB)."
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)")


def load(source: Source) -> Dataset:
    """Recordings sorted by speaker, digit and index. `extra` holds the digit (the label of the probe) and the index."""
    root = locate(source, FOLDERS, ["recordings"])
    if root is None and source.path is None:
        root = install(ARCHIVE) / "FSDD"
    if root is None:
        raise missing(source, FOLDERS, ["recordings"], CURE)
    found: list[tuple[tuple[str, int, int], Utterance]] = []
    for path in audio_files(root / "recordings", "*"):
        match = _NAME.fullmatch(path.stem)
        if match is None:
            continue
        digit, speaker, index = int(match[1]), match[2], int(match[3])
        found.append(((speaker, digit, index), Utterance(
            path.stem, path, speaker, DIGITS[digit], licence=LICENCE,
            extra={"digit": digit, "index": index, "subset": "test" if index <= LAST_TEST_INDEX else "train"},
        )))  # fmt: skip
    utterances = [u for _, u in sorted(found, key=lambda pair: pair[0])]
    speakers = {u.speaker for u in utterances}
    for subset in source.subsets:
        if subset not in speakers and subset not in ("test", "train"):
            raise UnknownName("subset of fsdd", subset, ["test", "train", *speakers])
    parts = [name for name in source.subsets if name in ("test", "train")] or ["test", "train"]
    named = [name for name in source.subsets if name in speakers] or list(speakers)
    kept = tuple(u for u in utterances if u.extra["subset"] in parts and u.speaker in named)
    return Dataset(source.title(), kept, licence=LICENCE, root=root, facts={"expected": 3000})
