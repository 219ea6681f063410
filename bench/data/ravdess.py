"""RAVDESS, speech only: 24 actors, two sentences, eight emotions, 48 kHz (Livingstone & Russo 2018), CC BY-NC-SA 4.0.

Names are MM-VV-EE-II-SS-RR-AA.wav: modality, channel, emotion, intensity, sentence, repetition, actor. They lie in
Actor_NN/, below audio_speech_actors_01-24/ or in one flat folder; of the modalities only audio is read (03), of the channels
only speech (01). A name that comes twice, as in copies of the archive that hold the folders twice, counts once. The licence
forbids commercial use. Subsets: emotions and actors (actor_01). zenodo.org/records/1188976.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.data import Source
from bench.data.places import audio_files, candidates, check_subsets, missing, nothing
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY-NC-SA 4.0"
FOLDERS = ("RAVDESS", "ravdess")
EMOTIONS = {"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgust",
            "08": "surprised"}  # fmt: skip
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
AUDIO_ONLY, SPEECH = "03", "01"
ARCHIVE = Archive(
    "https://zenodo.org/records/1188976/files/Audio_Speech_Actors_01-24.zip",
    {"": "RAVDESS"},
    "md5:bc696df654c87fed845eb13823edef8a",  # Zenodo states MD5 sums
    208468073,
)
CURE = "Put the folders Actor_01 ... there, or leave PATH out to have them downloaded (208 MB; non-commercial licence)."
_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")


def load(source: Source) -> Dataset:
    """Utterances sorted by actor and name, with emotion, intensity and repetition."""
    check_subsets(source, [*EMOTIONS.values(), *(f"actor_{n:02d}" for n in range(1, 25))])
    root = next((place for place in candidates(source, FOLDERS) if place.is_dir() and _named(place)), None)
    if root is None and source.path is None:
        root = install(ARCHIVE) / "RAVDESS"
    if root is None:
        raise missing(source, FOLDERS, ["Actor_01 ..."], CURE)
    found: list[Utterance] = []
    named = _named(root)
    others = Counter(f"{name[0]}-{name[1]}" for name in named.values() if (name[0], name[1]) != (AUDIO_ONLY, SPEECH))
    for path, name in named.items():
        if (name[0], name[1]) != (AUDIO_ONLY, SPEECH):
            continue
        emotion, intensity, sentence, repetition, actor = name[2:]
        found.append(Utterance(
            path.stem, path, f"actor_{actor}", SENTENCES.get(sentence), gender="male" if int(actor) % 2 else "female",
            accent="North American", emotion=EMOTIONS.get(emotion), licence=LICENCE,
            extra={"intensity": "strong" if intensity == "02" else "normal", "sentence": sentence,
                   "repetition": repetition},
        ))  # fmt: skip
    emotions = [name for name in source.subsets if name in EMOTIONS.values()] or list(EMOTIONS.values())
    actors = [name for name in source.subsets if name.startswith("actor_")]
    kept = tuple(u for u in found if u.emotion in emotions and (not actors or u.speaker in actors))
    if not kept:
        there = [f"{count} files of the kind {kind}" for kind, count in others.items()]
        there += sorted({str(u.emotion) for u in found} | {u.speaker for u in found})
        raise nothing(source, root, there, f"names begin with {AUDIO_ONLY}-{SPEECH} for speech as audio")
    return Dataset(source.title(), kept, licence=LICENCE, root=root, facts={"expected": 1440, "non_commercial": True},
                   notes=(_left_out(others),) if others else ())  # fmt: skip


def _named(root: Path) -> dict[Path, tuple[str, ...]]:
    """Audio files below `root` that are called as RAVDESS calls them, by name, each name once -> the parts of the name."""
    found: dict[str, tuple[Path, tuple[str, ...]]] = {}
    for path in audio_files(root):
        match = _NAME.fullmatch(path.stem)
        if match is not None:
            found.setdefault(path.stem, (path, match.groups()))
    return dict(sorted(found.values(), key=lambda one: (one[1][-1], one[0].stem)))


def _left_out(others: Mapping[str, int]) -> str:
    some = ", ".join(f"{count} of the kind {kind}" for kind, count in sorted(others.items()))
    return f"left out: {some} (modality-channel; {AUDIO_ONLY}-{SPEECH} is speech as audio)"
