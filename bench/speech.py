"""Utterance and Dataset: speech with what is known of it. No audio is read until it is asked for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import audio
from bench.errors import BenchError

BY_HEART = "sentences known by heart"
WHAT_CONDITIONS_MEAN = {
    BY_HEART: "What was tested is what was trained on: this shows that the path is right, and tells nothing of a codec's worth.",
}
"""Condition of a data set -> the sentence that a table on it begins with."""


@dataclass(frozen=True)
class Utterance:
    """One utterance. `path` is what the codec hears (None: there is only a text); `reference` (if any) is the clean
    recording scores refer to; `recordings` are others by name, such as the target and the source of a conversion.

    `mix`, when given, makes the codec's input from the audio of `path` (float32 [T], rate) -> [T], e.g. adds noise.
    `enrolment`: recordings of the voice that `path` is to be converted to. `aligned`: the reference is the same
    speech sample by sample; where it is not (a conversion), what comes out keeps its own length. `channel`: the one that
    is heard of files with several, from 0 (None: their average).
    """

    id: str
    path: Path | None
    speaker: str
    text: str | None = None
    language: str = "en"
    gender: str | None = None
    accent: str | None = None
    emotion: str | None = None
    licence: str | None = None
    reference: Path | None = None
    enrolment: tuple[Path, ...] = ()
    aligned: bool = True
    mix: Callable[[np.ndarray, int], np.ndarray] | None = field(default=None, compare=False)
    recordings: Mapping[str, Path] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict, compare=False)
    channel: int | None = None

    @property
    def paths(self) -> Iterator[Path]:
        """Every file that belongs to the utterance."""
        return (one for one in (self.path, self.reference, *self.enrolment, *self.recordings.values()) if one is not None)

    def recording(self, name: str = "") -> Path:
        """The file of a recording by name; "" is what the codec hears. Raises BenchError where there is none."""
        path = self.path if not name else self.recordings.get(name)
        if path is None:
            raise BenchError(f"{self.id}: there is no recording" + (f" '{name}'" if name else ""))
        return path

    def reference_path(self, name: str = "") -> Path:
        """The file that scores refer to; "" is the clean original. Raises BenchError where there is none."""
        return self.reference if not name and self.reference is not None else self.recording(name)

    def read(self, rate_hz: int | None = None, name: str = "") -> tuple[np.ndarray, int]:
        """The codec's input, or another recording by name: (float32 [T], Hz), resampled when `rate_hz` is given."""
        wave, rate = audio.read(self.recording(name), self.channel)
        if self.mix is not None and not name:
            wave = self.mix(wave, rate)
        return (wave, rate) if rate_hz is None else (audio.resample(wave, rate, rate_hz), rate_hz)

    def read_enrolment(self, rate_hz: int) -> list[np.ndarray]:
        """Recordings of the target voice, float32 [T] each."""
        return [audio.resample(*audio.read(path), rate_hz) for path in self.enrolment]

    def read_reference(self, rate_hz: int | None = None, name: str = "") -> tuple[np.ndarray, int]:
        """What scores are measured against: the recording called `name`; "" is the clean original (unmixed)."""
        wave, rate = audio.read(self.reference_path(name), self.channel)
        return (wave, rate) if rate_hz is None else (audio.resample(wave, rate, rate_hz), rate_hz)


@dataclass(frozen=True)
class Dataset:
    """A named list of utterances. `root` makes paths relative in the hash; `partial` marks a LIMIT selection."""

    name: str
    utterances: tuple[Utterance, ...]
    licence: str = "unknown"
    synthetic: bool = False
    condition: str = "clean"
    root: Path | None = None
    partial: bool = False
    version: str = "1"
    facts: dict[str, Any] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What a run tells of the data in its first lines: files that were seen and not used, what was taken for granted."""

    def __post_init__(self) -> None:
        # Hashes first: a million ids need not be in memory at a time.
        if len({hash(utterance.id) for utterance in self.utterances}) != len(self.utterances):
            counted = Counter(utterance.id for utterance in self.utterances)
            twice = [name for name, times in counted.items() if times > 1][:5]
            if not twice:
                return
            raise BenchError(f"data set '{self.name}': utterance ids appear twice: {', '.join(twice)}")

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    @property
    def speakers(self) -> tuple[str, ...]:
        """Every speaker once, in order."""
        return tuple(sorted({utterance.speaker for utterance in self.utterances}))

    @property
    def sha256(self) -> str:
        """Hash of the list (ids, speakers, texts), not of the audio: two runs over one list can be compared."""
        # The JSON of [name, condition, version, [[id, speaker, text, language], ...]], an utterance at a time.
        head = json.dumps([self.name, self.condition, self.version], ensure_ascii=False)
        digest = hashlib.sha256(f"{head[:-1]}, [".encode())
        for place, u in enumerate(self.utterances):
            row = (u.id, u.speaker, u.text, u.language, *(() if u.channel is None else (u.channel,)))
            digest.update(f"{', ' if place else ''}{json.dumps(row, ensure_ascii=False)}".encode())
        digest.update(b"]]")
        return digest.hexdigest()

    def select(self, utterances: Sequence[Utterance], *, partial: bool = False) -> Dataset:
        """The same set with only `utterances`; partial where this one is, or where it is said."""
        return replace(self, utterances=tuple(utterances), partial=self.partial or partial)

    def limit(self, count: int | None) -> Dataset:
        """At most `count` utterances, taken round-robin over speakers so that every voice is heard; marked partial."""
        if count is None or count >= len(self.utterances):
            return self
        if count < 1:
            raise BenchError(f"LIMIT={count}: must be at least 1")
        by_speaker: dict[str, list[Utterance]] = defaultdict(list)
        for utterance in self.utterances:
            by_speaker[utterance.speaker].append(utterance)
        # A rotating start keeps a small selection from being all first sentences.
        queues = [rotated(items, shift) for shift, (_, items) in enumerate(sorted(by_speaker.items()))]
        taken: set[str] = set()
        depth = 0
        while len(taken) < count:
            for queue in queues:
                if depth < len(queue) and len(taken) < count:
                    taken.add(queue[depth].id)
            depth += 1
        return self.select([u for u in self.utterances if u.id in taken], partial=True)


def rotated(items: Sequence[Utterance], shift: int) -> list[Utterance]:
    """`items` rotated left by `shift` places."""
    shift %= len(items)
    return [*items[shift:], *items[:shift]]
