"""Playback: speech at half its level through the codec. The producer that makes these waves stands here too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench import data
from bench.engine import systems
from bench.engine.plan import Line, Plan
from bench.engine.producers import Made, Producer
from bench.engine.producers.resynthesis import transcode
from bench.tasks import cards, options, outcome


@dataclass(frozen=True)
class Quieter(Producer):
    """The utterance at half its level, through the codec."""

    role: str = "playback"

    id: ClassVar[str] = "quieter"
    version: ClassVar[str] = "1"

    def parts(self, item: Any, keys: Any) -> Sequence[Any]:
        """What the wave depends on: the recording."""
        return [keys.spoken(item, "")]

    def make(self, items: Sequence[Any], codec: Any, clock: Any) -> list[Made]:
        """One wave each."""
        waves = [(0.5 * item.read(codec.sample_rate)[0]).astype(np.float32) for item in items]
        return [{"": record} for record in transcode(codec, waves, clock)]


def run(wanted: options.Options) -> outcome.Outcome:
    """Run the task on every data set asked for."""
    card = cards.load("playback")
    results = outcome.Outcome()
    chosen = tuple(systems.systems(wanted.codecs, profile="embedded", want=wanted.weights, device="cpu"))
    for source in wanted.data or (card.data["embedded"],):
        lines = tuple(Line(system, Quieter()) for system in chosen)
        plan = Plan("playback", chosen, data.load(source), card.columns, lines=lines, **wanted.engine)
        results.add(outcome.execute(plan, wanted))
    return results
