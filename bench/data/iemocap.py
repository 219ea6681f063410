"""IEMOCAP: ten actors in five dialogue sessions, 16 kHz (Busso et al. 2008). By signed form only: never downloaded.

Layout SessionN/sentences/wav/DIALOG/UTTERANCE.wav, labels in SessionN/dialog/EmoEvaluation/DIALOG.txt, texts in
SessionN/dialog/transcriptions/. By default the four classes of the FocalCodec and DASB protocols: neutral, happy, sad,
angry (excited is not merged into happy). Subsets: session1 to session5, the labels by name, or `all` labels.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench.data import Source
from bench.data.places import audio_files, check_subsets, locate, missing
from bench.speech import Dataset, Utterance

LICENCE = "IEMOCAP release form, research only"
FOLDERS = ("IEMOCAP", "IEMOCAP_full_release")
LABELS = {"neu": "neutral", "hap": "happy", "sad": "sad", "ang": "angry", "exc": "excited", "fru": "frustrated",
          "fea": "fearful", "sur": "surprised", "dis": "disgust", "oth": "other", "xxx": "no agreement"}  # fmt: skip
FOUR = ("neutral", "happy", "sad", "angry")
SESSIONS = tuple(f"session{n}" for n in range(1, 6))
CURE = "Ask for it at sail.usc.edu/iemocap, unpack it and name its folder: iemocap:PATH."
# "[6.2901 - 8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]"
_LABEL = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\S+)\t(\w+)\t\[([\d.]+), ([\d.]+), ([\d.]+)\]")
_TEXT = re.compile(r"(\S+) \[[\d.]+-[\d.]+\]: (.*)")


def load(source: Source) -> Dataset:
    """Labelled utterances of the sessions asked for; `extra` holds valence, activation and dominance (1 to 5)."""
    check_subsets(source, [*SESSIONS, *LABELS.values(), "all"])
    sessions = [name for name in SESSIONS if name in source.subsets] or list(SESSIONS)
    emotions = [name for name in source.subsets if name in LABELS.values()] or list(FOUR)
    if "all" in source.subsets:
        emotions = list(LABELS.values())
    folders = [name.replace("session", "Session") for name in sessions]
    root = locate(source, FOLDERS, folders)
    if root is None:
        raise missing(source, FOLDERS, folders, CURE)
    found = [u for folder in folders for u in _session(root / folder) if u.emotion in emotions]
    return Dataset(source.title(), tuple(found), licence=LICENCE, root=root)


def _session(folder: Path) -> list[Utterance]:
    labels: dict[str, tuple[str, dict[str, float]]] = {}
    texts: dict[str, str] = {}
    for path in sorted((folder / "dialog" / "EmoEvaluation").glob("*.txt")):
        for match in _LABEL.finditer(path.read_text(encoding="utf-8", errors="replace")):
            scores = dict(zip(("valence", "activation", "dominance"), map(float, match.groups()[2:]), strict=True))
            labels[match[1]] = (LABELS.get(match[2], match[2]), scores)
    for path in sorted((folder / "dialog" / "transcriptions").glob("*.txt")):
        texts |= {m[1]: m[2].strip() for m in _TEXT.finditer(path.read_text(encoding="utf-8", errors="replace"))}
    found: list[Utterance] = []
    for path in audio_files(folder / "sentences" / "wav", "*/*"):
        if path.stem not in labels:
            continue
        emotion, scores = labels[path.stem]
        # Who speaks is the letter of the last part; the letter after the session number is who wears the markers.
        sex = path.stem.rpartition("_")[2][0]
        found.append(Utterance(
            path.stem, path, f"{path.stem[:5]}{sex}", texts.get(path.stem), gender="female" if sex == "F" else "male",
            emotion=emotion, licence=LICENCE, extra={"session": folder.name.lower(), **scores},
        ))  # fmt: skip
    return found
