"""Files with several channels: averaged, the first, or each as an utterance of its own (`CHANNELS=average|first|each`).

Averaging is the default, as every metric and most codecs take mono. It can cancel what stands in both channels with
opposite signs, and it mixes the speakers of a call; the first lines of a run tell how many files it concerns. With
`first` and `each` the set has another name, so that its rows never mix with those of the average. `each` numbers the
channels from 1 (`call.ch1`, `call.ch2`) and leaves texts out, because a text of the whole file is that of no channel.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from bench import audio
from bench.errors import UnknownName
from bench.speech import Dataset, Utterance

AVERAGE, FIRST, EACH = "average", "first", "each"
CHOICES = (AVERAGE, FIRST, EACH)
COUNTS = "channels"
"""Key of `Dataset.facts`: channels -> number of files, where some file has several."""
DONE = {AVERAGE: "they are averaged (CHANNELS=first or each chooses otherwise)", FIRST: "the first is taken",
        EACH: "each is an utterance of its own"}  # fmt: skip


def check(choice: str) -> str:
    """`choice`, or UnknownName with the nearest ones."""
    if choice not in CHOICES:
        raise UnknownName("choice of channels", choice, CHOICES)
    return choice


def chosen(dataset: Dataset, choice: str, *, users: bool) -> Dataset:
    """`dataset` with its channels as `choice` says. users: the files are a user's, so their headers are read even for the
    average, to tell of several channels."""
    if choice == AVERAGE and not users:
        return dataset
    counts = {u.id: audio.header(u.path).channels for u in dataset if u.path is not None}
    several = Counter(count for count in counts.values() if count > 1)
    if not several:
        return dataset
    told = replace(dataset, facts=dict(dataset.facts) | {COUNTS: dict(several), "choice": choice})
    if choice == AVERAGE:
        return told
    if choice == FIRST:
        utterances = tuple(replace(u, channel=0) if counts.get(u.id, 0) > 1 else u for u in dataset)
    else:
        utterances = tuple(one for u in dataset for one in _each(u, counts.get(u.id, 0)))
    return replace(told, utterances=utterances, name=f"{dataset.name}-{choice}-channel")


def _each(utterance: Utterance, count: int) -> list[Utterance]:
    if count < 2:
        return [utterance]
    extra = {"output": utterance.id} | utterance.extra
    return [
        replace(utterance, id=f"{utterance.id}.ch{number + 1}", channel=number, text=None, extra=extra) for number in range(count)
    ]


def note(dataset: Dataset) -> str | None:
    """The line that tells of several channels in the run's first lines; None where all files have one."""
    counts = dataset.facts.get(COUNTS)
    if not counts:
        return None
    total = sum(counts.values())
    files = f"{total} file has" if total == 1 else f"{total} files have"
    words = " or ".join(str(count) for count in sorted(counts))
    return f"{files} {words} channels: {DONE[dataset.facts['choice']]}"
