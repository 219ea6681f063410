"""Codecs and metrics that do nothing, on as many utterances as one likes: what is left is the harness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import metrics
from bench.engine.clock import Clock
from bench.engine.plan import Line, Plan
from bench.engine.producers import Made, Producer
from bench.engine.records import audio_record
from bench.engine.systems import System
from bench.metrics import Column, Metric, Signal, Value
from bench.speech import Dataset, Utterance

if TYPE_CHECKING:
    from bench.engine.keys import Keys

SPEAKERS = 200
WAVE = np.linspace(-0.1, 0.1, 160, dtype=np.float32)


@dataclass(frozen=True)
class Nothing(Producer):
    """A record of ten milliseconds, the same for every utterance, under a key of its own."""

    role: str = "resynthesis"
    id: ClassVar[str] = "toy-nothing"
    version: ClassVar[str] = "1"

    def parts(self, item: Utterance, keys: Keys) -> Sequence[Any]:
        return [keys.spoken(item), item.id]

    def make(self, items: Sequence[Utterance], codec: Any, clock: Clock) -> list[Made]:
        return [{"": RECORD | {"wave_sha256": item.id}} for item in items]


RECORD = audio_record(WAVE, 16000)


def _score(reference: Signal, degraded: Signal) -> Mapping[str, Value]:
    return {"toy": float(len(reference.wave))}


METRIC = Metric("toy", (Column("toy", "toy"),), _score)
metrics._index()["toy"] = __name__


class Many(Sequence[Utterance]):
    """`count` utterances that are made when they are asked for."""

    def __init__(self, count: int, path: Path) -> None:
        self._count, self._path = count, path

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(self._count)))
        if not 0 <= place < self._count:
            raise IndexError(place)
        return Utterance(f"u{place:07d}", self._path, f"s{place % SPEAKERS:03d}")

    def __iter__(self) -> Iterator[Utterance]:
        return (self[place] for place in range(self._count))


def plan(count: int, path: Path, systems: Sequence[System]) -> Plan:
    """`count` utterances through as many codecs that do nothing as there are `systems`, scored by a metric that does nothing."""
    dataset = Dataset("many", Many(count, path))  # type: ignore[arg-type]
    lines = tuple(Line(system, Nothing()) for system in systems)
    return Plan("resynthesis", tuple(systems), dataset, ("toy",), always=(), lines=lines, executor="inline", keep="scores")
