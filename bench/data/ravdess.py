"""RAVDESS, speech only: 24 actors, two sentences, eight emotions, 48 kHz (Livingstone & Russo 2018), CC BY-NC-SA 4.0.

Layout Actor_NN/MM-VV-EE-II-SS-RR-AA.wav: modality, channel, emotion, intensity, sentence, repetition, actor. The
licence forbids commercial use. Subsets: emotions and actors (actor_01). zenodo.org/records/1188976.
"""

from __future__ import annotations

import re

from bench.data import Source
from bench.data.places import audio_files, candidates, check_subsets, missing
from bench.fetch.archives import Archive, install
from bench.speech import Dataset, Utterance

LICENCE = "CC BY-NC-SA 4.0"
FOLDERS = ("RAVDESS", "ravdess")
EMOTIONS = {"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgust",
            "08": "surprised"}  # fmt: skip
SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
SPEECH = "01"
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
    root = next((place for place in candidates(source, FOLDERS) if any(place.glob("Actor_*"))), None)
    if root is None and source.path is None:
        root = install(ARCHIVE) / "RAVDESS"
    if root is None:
        raise missing(source, FOLDERS, ["Actor_01 ..."], CURE)
    found: list[Utterance] = []
    for path in audio_files(root, "Actor_*/*"):
        match = _NAME.fullmatch(path.stem)
        if match is None or match[2] != SPEECH:
            continue
        emotion, intensity, sentence, repetition, actor = match.groups()[2:]
        found.append(Utterance(
            path.stem, path, f"actor_{actor}", SENTENCES.get(sentence), gender="male" if int(actor) % 2 else "female",
            accent="North American", emotion=EMOTIONS.get(emotion), licence=LICENCE,
            extra={"intensity": "strong" if intensity == "02" else "normal", "sentence": sentence,
                   "repetition": repetition},
        ))  # fmt: skip
    emotions = [name for name in source.subsets if name in EMOTIONS.values()] or list(EMOTIONS.values())
    actors = [name for name in source.subsets if name.startswith("actor_")]
    kept = tuple(u for u in found if u.emotion in emotions and (not actors or u.speaker in actors))
    return Dataset(source.title(), kept, licence=LICENCE, root=root, facts={"expected": 1440, "non_commercial": True})
