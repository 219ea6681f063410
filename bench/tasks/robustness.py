"""Robustness: what losses, errors, repeated coding and poor input do to each codec. `python -m bench.tasks.robustness`.

One line for each codec and condition, and one for the codec undisturbed. The plot shows each score by condition.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench import data
from bench.columns import ENGINE
from bench.engine.plan import Line, Plan
from bench.engine.producers.resynthesis import Resynthesis
from bench.engine.systems import System
from bench.errors import BenchError
from bench.guard import guarded
from bench.tasks import cards, degradations, loadable, options, outcome
from bench.tasks.degradations import CHANNELS, Degraded
from bench.tasks.options import Options

DEFAULT_CODECS = ("identity", "opus@12", "codec2@1200", "focalcodec@50")
UNDISTURBED = "undisturbed"


def run(wanted: Options) -> outcome.Outcome:
    """Run the task on every data set asked for; rows, leaderboard and plot of each are written and told."""
    card = cards.load("robustness")
    profile = "embedded" if wanted.profile == "embedded" else "paper"
    device = options.device(wanted.device)
    columns = wanted.metrics or tuple(card.settings["columns"][profile])
    systems, left_out = loadable.systems(wanted.codecs or DEFAULT_CODECS, profile=profile, want=wanted.weights, device=device)
    if lost := [system.name for system in systems if system.point.adapter == "published"]:
        raise BenchError(f"{lost[0]}: audio that was decoded elsewhere cannot be disturbed; name a codec that runs here")
    results = outcome.Outcome(code=int(bool(left_out)))
    for source in wanted.data or (card.data[profile],):
        dataset = data.load(source, channels=wanted.channels, language=wanted.language).limit(wanted.limit)
        plan = Plan(
            "robustness", tuple(systems), dataset, tuple(c for c in columns if c not in ENGINE),
            profile=wanted.profile, device=device, **wanted.engine,
            lines=tuple(lines(systems, card.settings["conditions"])),
            length=cards.profile(wanted.profile).protocol.length,
        )  # fmt: skip
        results.add(outcome.execute(plan, replace(wanted, data=(source,))))
    return results


def lines(systems: Sequence[System], conditions: Mapping[str, Sequence[float]]) -> Iterator[Line]:
    """Of each system the undisturbed line, then one for each condition. No channel is put behind a reference."""
    for system in systems:
        yield Line(system, Resynthesis(), UNDISTURBED)
        for condition, amount in degradations.listed(conditions):
            if system.point.kind == "reference" and (condition in CHANNELS or condition == degradations.TANDEM):
                continue
            producer = Degraded(condition=condition, amount=amount)
            yield Line(system, producer, degradations.called(condition, amount))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("robustness", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
