"""Which utterances train, validate and test a probe, and what each is to be recognised as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from bench.data import splits, transcripts
from bench.errors import BenchError
from bench.speech import Dataset, Utterance
from bench.store import key_of

PARTS: tuple[Literal["train", "valid", "test"], ...] = ("train", "valid", "test")
WHAT = {"asr": "transcript", "si": "speaker", "ser": "emotion"}
COLUMN = {"asr": "text", "si": "speaker", "ser": "emotion"}
"""Task -> the column of a folder's table that tells it."""
UNKNOWN = "unknown"
"""The speaker of a file that neither a table nor a folder names."""
Parts: TypeAlias = "Mapping[str, Sequence[Utterance]]"


@dataclass(frozen=True)
class Division:
    """Train, validation and test utterances (ids) and the target of each; `classes` names the labels (none for ASR)."""

    fold: str
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    targets: Mapping[str, str | int]
    classes: tuple[str, ...]
    sha256: str

    @property
    def ids(self) -> set[str]:
        """Every utterance that takes part."""
        return {*self.train, *self.valid, *self.test}


def label_of(task: str, utterance: Utterance) -> str | None:
    """The target of an utterance under a task; None when the data do not tell."""
    if task == "asr":
        return utterance.text
    return utterance.speaker if task == "si" else utterance.emotion


def check_labels(task: str, dataset: Dataset) -> None:
    """Raises BenchError where not every utterance tells what a probe of `task` reads, or all tell the same. Of a folder it names
    the file that would tell."""
    what = WHAT[task]
    cure = f"TASK={task} needs a set that tells the {what} of each"
    if dataset.name.startswith("folder") and dataset.root is not None:
        cure = f"write the {what} of each into the column `{COLUMN[task]}` of {dataset.root / transcripts.own.NAME}"
    if lost := [u.id for u in dataset if label_of(task, u) in (None, "", UNKNOWN)]:
        some = f"{len(lost)} of {len(dataset)} utterances have no {what}, for example {lost[0]}"
        raise BenchError(f"{dataset.name}: {some}; {cure}")
    if task != "asr" and len(found := {label_of(task, u) for u in dataset}) < 2:
        raise BenchError(f"{dataset.name}: all utterances have the {what} '{found.pop()}', which leaves nothing to tell; {cure}")
    if task == "asr" and (others := sorted({u.language for u in dataset} - {"en"})):
        raise BenchError(f"{dataset.name}: speech in {', '.join(others)}; the probe of words knows the letters of English alone")


def divide(
    task: str,
    dataset: Dataset,
    split: str,
    *,
    folds: Sequence[str] | None = None,
    labels: Sequence[str] = (),
    cap: int | None = None,
) -> list[Division]:
    """Divide `dataset` by a committed list, by LibriSpeech's own subsets, per speaker 8:1:1 (`speakers`), or by whole speakers
    8:1:1 (`voices`; fewer than three speakers: per speaker).

    folds: which folds test (all). labels: the classes there must be; utterances of others are left out. cap: at most so
    many utterances per speaker and label train and validate (chosen by a hash of their ids); all of them are tested.
    Raises BenchError: a target is missing, classes do not match, too few utterances.
    """
    if labels:
        there = {label for u in dataset if (label := label_of(task, u))}
        if not there:
            raise BenchError(f"{dataset.name}: no utterance has {WHAT[task]}; this probe needs one for each")
        if missing := sorted(set(labels) - there):
            some = ", ".join(sorted(there))
            raise BenchError(f"{dataset.name}: no utterance is labelled {', '.join(missing)}; its labels are {some}")
        dataset = dataset.select([u for u in dataset if label_of(task, u) in labels])
    made = []
    for fold, parts in _parts(dataset, split, folds):
        if cap is not None:
            parts = {part: some if part == "test" else _capped(task, some, cap) for part, some in parts.items()}
        made.append(_division(task, f"{dataset.name}, split {split}", fold, parts))
    return made


def _division(task: str, where: str, fold: str, parts: Parts) -> Division:
    for part, some in parts.items():
        if not some:
            raise BenchError(f"{where}: no utterance for its {part} part; is this the data set it was made for?")
    named = {u.id: label_of(task, u) for some in parts.values() for u in some}
    lost = [name for name, label in named.items() if not label]
    if lost:
        some_lost = f"{len(lost)} utterances have no {WHAT[task]}, for example {lost[0]}"
        raise BenchError(f"{where}: {some_lost}; leave them out or add it")
    classes: tuple[str, ...] = ()
    if task != "asr":
        counts = Counter(str(named[u.id]) for u in parts["train"])
        classes = tuple(sorted(counts))
        strange = sorted({str(named[u.id]) for part in ("valid", "test") for u in parts[part]} - set(classes))
        if strange:
            raise BenchError(f"{where}: {WHAT[task]} {', '.join(strange[:5])} is tested but never trained")
        few = [label for label, count in counts.items() if count < 2]
        if few or len(classes) < 2:
            raise BenchError(f"{where}: fewer than 2 classes, or fewer than 2 training utterances for {few[:5]}")
    targets = {name: classes.index(str(label)) if classes else str(label) for name, label in named.items()}
    train, valid, test = (tuple(u.id for u in parts[part]) for part in PARTS)
    return Division(fold, train, valid, test, targets, classes, key_of(train, valid, test, targets))


def _capped(task: str, some: Sequence[Utterance], cap: int) -> list[Utterance]:
    counts: Counter[tuple[str, str | None]] = Counter()
    kept: set[str] = set()
    for u in sorted(some, key=lambda u: key_of("cap", u.id)):
        group = (u.speaker, u.text if task == "si" else label_of(task, u))
        if counts[group] < cap:
            counts[group] += 1
            kept.add(u.id)
    return [u for u in some if u.id in kept]


def _parts(dataset: Dataset, split: str, folds: Sequence[str] | None) -> Iterator[tuple[str, Parts]]:
    if split == "subsets":
        starts = {"train": "train", "valid": "dev", "test": "test"}
        yield "", {p: [u for u in dataset if str(u.extra.get("subset", "")).startswith(s)] for p, s in starts.items()}
    elif split == "speakers":
        yield "", _tenths(dataset)
    elif split == "voices":
        yield "", _voices(dataset)
    else:
        listed = splits.load(split)
        if folds and not listed.folded:
            raise BenchError(f"split {split} is a single division: it has no folds")
        for fold in (folds or listed.folds) if listed.folded else (None,):
            parts = listed.parts(dataset, fold)
            yield str(fold or ""), {part: list(some) for part, some in parts.items()}


def _voices(dataset: Dataset) -> Parts:
    """A tenth of the speakers (at least one) for test, as many for validation, the rest to train, by a hash of their names."""
    ordered = sorted(dataset.speakers, key=lambda speaker: key_of("speakers", speaker))
    if len(ordered) < len(PARTS):
        return _tenths(dataset)
    tenth = max(1, len(ordered) // 10)
    of = {"test": set(ordered[:tenth]), "valid": set(ordered[tenth : 2 * tenth]), "train": set(ordered[2 * tenth :])}
    return {part: [u for u in dataset if u.speaker in of[part]] for part in PARTS}


def _tenths(dataset: Dataset) -> Parts:
    """Of every speaker a tenth (at least one) for test, as much for validation, the rest to train, by a hash of ids."""
    taken: dict[str, list[Utterance]] = {part: [] for part in PARTS}
    for speaker in dataset.speakers:
        own = sorted((u for u in dataset if u.speaker == speaker), key=lambda u: key_of("split", u.id))
        if len(own) < 10:
            some = f"speaker {speaker} has {len(own)} utterances"
            raise BenchError(f"{dataset.name}: {some}; 10 are needed to divide 8:1:1. Leave the speaker out")
        tenth = max(1, len(own) // 10)
        taken["test"] += own[:tenth]
        taken["valid"] += own[tenth : 2 * tenth]
        taken["train"] += own[2 * tenth :]
    return taken
