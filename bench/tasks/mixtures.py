"""What a head is trained, validated and tested on: recordings of noisy or mixed speech with the clean ones in it.

Sets that are made so (VoiceBank-DEMAND, LibriMix) are read as they are, by their own parts; of any other set mixtures are
made on the fly. No part shares a speaker with another, noises of speech included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bench import audio, data
from bench.data import NOISY, Source, noise, splits, two_voices
from bench.data.two_voices import VOICES
from bench.errors import BenchError
from bench.probes.division import PARTS
from bench.speech import Dataset, Utterance
from bench.store import key_of

CLEAN = "clean"
"""Name of the clean recording of noisy speech."""


@dataclass(frozen=True)
class Material:
    """dataset: every mixture. train, valid, test: ids. clean: names of the clean recordings that each mixture has."""

    dataset: Dataset
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    clean: tuple[str, ...]

    @property
    def tested(self) -> Dataset:
        """The mixtures that are scored."""
        wanted = set(self.test)
        return self.dataset.select([u for u in self.dataset if u.id in wanted])

    @cached_property
    def singles(self) -> tuple[Dataset, Mapping[str, str]] | None:
        """(the clean recordings, each once; mixture -> its clean one) where noise is drawn over them as they are, so that each
        mixture is as long as its clean recording; else None."""
        if not all(isinstance(u.mix, noise.Mixture) and u.recordings.get(CLEAN) == u.path for u in self.dataset):
            return None
        first: dict[tuple[Path | None, int | None], Utterance] = {}
        of: dict[str, str] = {}
        for u in self.dataset:
            one = first.setdefault((u.path, u.channel), replace(u, mix=None, reference=None, recordings={}))
            of[u.id] = one.id
        return self.dataset.select(list(first.values())), of

    @property
    def sha256(self) -> str:
        """Identity of the division."""
        return key_of(self.train, self.valid, self.test)


def make(task: str, source: str, settings: Mapping[str, Any]) -> Material:
    """The mixtures of `source` for a task. settings: of its card. Raises BenchError, DataMissing.

    settings.parts: set -> its own parts, for sets that are made of mixtures. settings.split: set -> a list that ships.
    settings.draws: part -> mixtures of each utterance.
    """
    parsed = Source.parse(source)
    if parsed.name.endswith(NOISY):
        raise BenchError(f"TASK={task} mixes by itself: write DATA={source.replace(NOISY, '', 1)}")
    two = task == "separation"
    own = settings["parts"].get(parsed.name)
    parts = _own_parts(parsed, own) if own is not None else _mixed(task, source, parsed.name, settings)
    parts = {part: _with_clean(some, two) for part, some in parts.items()}
    _check_rates(parts)
    _check_speakers(source, parts)
    first = next(iter(parts.values()))
    # The name and the hash of the list are those of what is tested; the rest of it belongs to the training.
    everything = tuple(u for part in PARTS for u in parts[part])
    whole = replace(parts["test"], name=parsed.title(), utterances=everything, root=first.root)
    train, valid, test = (tuple(u.id for u in parts[part]) for part in PARTS)
    return Material(whole, train, valid, test, VOICES if two else (CLEAN,))


def _own_parts(parsed: Source, own: Mapping[str, Any]) -> dict[str, Dataset]:
    if parsed.subsets:
        raise BenchError(f"{parsed.name}: this task takes the set's own parts; leave out #{'+'.join(parsed.subsets)}")
    loaded: dict[str, Dataset] = {
        part: data.module(parsed.name).load(replace(parsed, subsets=tuple(own[part]))) for part in PARTS if part in own
    }
    if "valid" not in loaded:
        held = set(own["valid_speakers"])
        loaded["valid"] = loaded["train"].select([u for u in loaded["train"] if u.speaker in held])
        loaded["train"] = loaded["train"].select([u for u in loaded["train"] if u.speaker not in held])
    if empty := [part for part in PARTS if not len(loaded[part])]:
        raise BenchError(f"{parsed.name}: no mixture for its {empty[0]} part; is the set whole?")
    return loaded


def _mixed(task: str, source: str, name: str, settings: Mapping[str, Any]) -> dict[str, Dataset]:
    dataset = data.load(source)
    if name in settings["split"]:
        single = splits.load(settings["split"][name]).parts(dataset)
    else:
        single = by_speakers(dataset)
    return {part: _drawn(task, some, part, int(settings["draws"][part])) for part, some in single.items()}


FEWEST = 2
"""Speakers of a part: a second voice, or babble, is somebody else's."""


def by_speakers(dataset: Dataset) -> dict[str, Dataset]:
    """Of all speakers a tenth (at least two) for test, as many for validation, the rest to train, by a hash of their names.

    Raises BenchError where there are too few.
    """
    ordered = sorted(dataset.speakers, key=lambda speaker: key_of("speakers", speaker))
    if len(ordered) < 3 * FEWEST:
        some = f"{len(ordered)} speaker(s); {3 * FEWEST} are needed so that training, validation and test share none"
        raise BenchError(f"{dataset.name}: {some}")
    tenth = max(FEWEST, len(ordered) // 10)
    of = {"test": set(ordered[:tenth]), "valid": set(ordered[tenth : 2 * tenth]), "train": set(ordered[2 * tenth :])}
    return {part: dataset.select([u for u in dataset if u.speaker in of[part]]) for part in PARTS}


def _drawn(task: str, single: Dataset, part: str, draws: int) -> Dataset:
    """`draws` mixtures of every utterance; a user's own noisy recordings, each with its clean one, stay as they are.

    Raises BenchError where a part has too few speakers.
    """
    if task == "enhancement" and all(u.reference is not None for u in single):
        return single
    if (count := len(single.speakers)) < FEWEST:
        told = f"{count} speaker(s) in its {part} part; {FEWEST} are needed, since a second voice, or babble, is somebody else's"
        raise BenchError(f"{single.name}: {told}")
    made: list[Dataset] = []
    for draw in range(draws):
        some = single.select([replace(u, id=f"{u.id}~{draw}" if draw else u.id) for u in single])
        if task == "separation":
            made.append(two_voices.mix(some, draw))
        else:
            made.append(noise.add(some, seed=draw, name=single.name, babble=some.utterances))
    everything = tuple(u for some in made for u in some)
    return replace(made[0], utterances=everything, version=f"{made[0].version} draws {draws}")


def _with_clean(some: Dataset, two: bool) -> Dataset:
    """The same mixtures with their clean recordings by name."""

    def named(u: Utterance) -> Utterance:
        if not two:
            return replace(u, recordings={CLEAN: u.reference_path()})
        if u.recordings:
            return u
        return replace(u, recordings=dict(zip(VOICES, u.extra["sources"], strict=True)))

    return replace(some, utterances=tuple(map(named, some)))


def _check_rates(parts: Mapping[str, Dataset]) -> None:
    """Raises BenchError where a mixture and a clean recording in it have different rates."""
    rate = cache(lambda path: audio.header(path).rate_hz)
    for some in parts.values():
        for u in some:
            found = {rate(path) for path in (u.path, *u.recordings.values())} - {0}
            if len(found) > 1:
                told = " and ".join(map(str, sorted(found)))
                raise BenchError(f"{some.name}: {u.id} has recordings at {told} Hz; bring the set to one rate first")


def _check_speakers(source: str, parts: Mapping[str, Dataset]) -> None:
    for part, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        if shared := sorted(set(voices(parts[part])) & set(voices(parts[other]))):
            raise BenchError(f"{source}: speaker {shared[0]} is in both its {part} and its {other} part")


def voices(some: Dataset) -> Sequence[str]:
    """Every speaker that is heard in a set of mixtures."""
    return tuple(dict.fromkeys(name for u in some for name in (u.speaker, *u.extra.get("speakers", ()))))
