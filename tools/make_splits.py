"""Writes the lists that divide data sets for the probes: bench/data/splits/*.tsv and their SHA256SUMS.

    python tools/make_splits.py

Each list has a key column (id or speaker) and either `part` (train, valid, test) or `fold`.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "bench" / "data"
FOLDER = DATA / "splits"
PARTS = ("train", "valid", "test")
# Both genders and both accents on every side; chosen before any probe was trained.
TEST_VOICES = ("af_nova", "af_sarah", "am_liam", "am_puck", "bf_lily", "bm_lewis")
VALID_VOICES = ("af_bella", "am_eric", "bf_alice", "bm_daniel")
MIXED = "-"
"""Between the names of the voices that one is mixed of."""
SHARED_SENTENCES = ("1", "2")
FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def embedded(manifest: str = "manifest.tsv") -> list[dict[str, str]]:
    with (DATA / "embedded" / manifest).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def part_of(voice: str) -> str:
    """Where a voice of the embedded speech, and whatever is mixed of it, belongs."""
    return "test" if voice in TEST_VOICES else "valid" if voice in VALID_VOICES else "train"


def embedded_words() -> list[tuple[str, str]]:
    """No voice, and no part of a mixed one, is in two parts; every word is in all of them."""
    voices = dict.fromkeys(row["speaker"] for row in embedded("words.tsv"))
    return [(voice, part) for voice in voices for [part] in [{part_of(one) for one in voice.split(MIXED)}]]


def embedded_sentences() -> list[tuple[str, str]]:
    """Neither a voice nor a sentence of the test part is heard in training, where alone shared sentences count."""
    return [
        (row["id"], part_of(row["speaker"]))
        for row in embedded()
        if part_of(row["speaker"]) == "train" or row["sentence"] not in SHARED_SENTENCES
    ]


def embedded_si() -> list[tuple[str, str]]:
    """Every voice in every part; the test sentence is one that all voices speak, so that its words give nobody away."""
    parts = {SHARED_SENTENCES[0]: "valid", SHARED_SENTENCES[1]: "test"}
    return [(row["id"], parts.get(row["sentence"], "train")) for row in embedded()]


def fsdd_speakers() -> list[tuple[str, str]]:
    """The release's own test part (indices 0 to 4), the next five for validation."""
    return [(f"{digit}_{speaker}_{index}", "test" if index < 5 else "valid" if index < 10 else "train")
            for speaker in FSDD_SPEAKERS for digit in range(10) for index in range(50)]  # fmt: skip


def ravdess() -> list[tuple[str, str]]:
    """Six folds of two women and two men; of the first twelve actors alone, one of each in a fold."""
    return [(f"actor_{actor:02d}", str((actor - 1) // 2 % 6 + 1)) for actor in range(1, 25)]


def iemocap_focalcodec() -> list[tuple[str, str]]:
    """Sessions 1 to 4 train, session 5's woman validates, its man tests (FocalCodec, section on downstream tasks)."""
    rows = [(f"Ses0{session}{sex}", "train") for session in range(1, 5) for sex in "FM"]
    return [*rows, ("Ses05F", "valid"), ("Ses05M", "test")]


def lists() -> dict[str, tuple[str, str, list[tuple[str, str]]]]:
    """Name -> what its first and its second column are, and the rows."""
    return {
        "embedded_words": ("speaker", "part", embedded_words()),
        "embedded_sentences": ("id", "part", embedded_sentences()),
        "embedded_si": ("id", "part", embedded_si()),
        "fsdd_speakers": ("id", "part", fsdd_speakers()),
        "ravdess": ("speaker", "fold", ravdess()),
        "iemocap": ("speaker", "fold", [(f"Ses0{n}{sex}", str(n)) for n in range(1, 6) for sex in "FM"]),
        "iemocap_focalcodec": ("speaker", "part", iemocap_focalcodec()),
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    sums = []
    for name, (key, column, rows) in lists().items():
        text = "\n".join([f"{key}\t{column}", *("\t".join(row) for row in rows)]) + "\n"
        (FOLDER / f"{name}.tsv").write_text(text, encoding="utf-8")
        sums.append(f"{hashlib.sha256(text.encode()).hexdigest()}  {name}.tsv")
    (FOLDER / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
