"""A job: some utterances of one line, with the keys of everything due; and its report. Both are values that may travel to
another machine: what a worker needs of the store comes in, what it made goes out."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.engine.pairing import ZEROS
from bench.engine.plan import Line
from bench.speech import Utterance
from bench.store import key_of

Stage = Literal["all", "make", "score"]
Failure = tuple[str, str]
"""(kind, detail)"""


@dataclass(frozen=True)
class Due:
    """One score that is due, or (score "") one analysis of a reference.

    item: place of the utterance in the job. reference, degraded: keys of the two analyses ("" where the metric has none).
    """

    item: int
    metric: str
    against: str
    output: str
    score: str
    reference: str = ""
    degraded: str = ""


@dataclass(frozen=True)
class Job:
    """Some utterances of one line (None: the references themselves).

    made: the key of each utterance's waves. due: scores and analyses that are not in the store. lookup: keys of entries
    that may be in the store and are needed; `known` are those found, as stored. stage: "all"; or first "make" (waves, and
    the metrics `apart`, whose networks run on the device lane), then "score" (the rest). device: of the first of them. fresh:
    items whose bytes are decoded a second time by a codec that never saw the original. alone: items that are coded by
    themselves whatever the device, for the real-time factor.
    """

    line: Line | None
    items: tuple[Utterance, ...]
    made: tuple[str, ...]
    due: tuple[Due, ...]
    lookup: tuple[str, ...] = ()
    known: Mapping[str, bytes] = field(default_factory=dict)
    stage: Stage = "all"
    lanes: bool = False
    apart: frozenset[str] = frozenset()
    device: str = "cpu"
    length: str = ZEROS
    fresh: frozenset[int] = frozenset()
    alone: frozenset[int] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)
    host: str = field(default_factory=socket.gethostname)

    def parts(self, size: int = 1) -> Iterator[Job]:
        """Jobs of at most `size` of its utterances each, with what they need of what is known."""
        for start in range(0, len(self.items), size):
            end = min(start + size, len(self.items))
            due = tuple(replace(one, item=one.item - start) for one in self.due if start <= one.item < end)
            made = self.made[start:end]
            fresh, alone = (
                frozenset(place - start for place in some if start <= place < end) for some in (self.fresh, self.alone)
            )
            needed = {*(output_keys(self.line, made) if self.line else ()), *analysis_keys(due)}
            lookup = tuple(key for key in self.lookup if key in needed)
            known = {key: self.known[key] for key in lookup if key in self.known}
            yield replace(
                self, items=self.items[start:end], made=made, due=due, lookup=lookup, known=known, fresh=fresh, alone=alone
            )

    def failed(self, failure: Failure, *, made: bool) -> dict[str, Failure]:
        """`failure` for every score of this job; with `made`, for its waves as well."""
        keys = [*self.made] if made else []
        return dict.fromkeys([*keys, *(one.score for one in self.due if one.score)], failure)


@dataclass
class Report:
    """What a job made: (key, stage, value as stored). Failures are told per key and never stored: the next run tries again."""

    entries: list[tuple[str, str, bytes]] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)

    def values(self) -> dict[str, bytes]:
        """Key -> stored bytes of what the job made."""
        return {key: data for key, _, data in self.entries}


def output_key(made: str, output: str) -> str:
    """The key of one named wave; a producer's only wave has the key of what was made."""
    return made if output == "" else key_of("output", made, output)


def analysis_keys(due: Sequence[Due]) -> list[str]:
    """The keys of the analyses that `due` scores are made of, each once."""
    return list(dict.fromkeys(key for one in due for key in (one.reference, one.degraded) if key))


def output_keys(line: Line, made: Sequence[str]) -> list[str]:
    """The keys of every wave that `line` makes."""
    return [output_key(key, name) for key in made for name in line.producer.outputs]
