"""Resynthesis: speech through the codec and back, scored against the original. `python -m bench.tasks.resynthesis`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from bench import data, metrics
from bench.columns import ENGINE
from bench.engine.plan import Plan
from bench.errors import BenchError
from bench.guard import guarded
from bench.speech import Dataset
from bench.tasks import cards, loadable, options, outcome
from bench.tasks.options import Options

DEFAULT_CODECS = ("identity", "focalcodec@50", "opus@6", "codec2@700", "random-codes")
"""A few telling ones: the ceiling, a neural codec, a waveform codec, a vocoder, the floor."""


RECOGNISER = "dwer_whisper_small"
"""The column for speech in languages that the profile's recogniser does not know."""


def run(wanted: Options) -> outcome.Outcome:
    """Run the task on every data set asked for; rows, leaderboard and plot of each are written and told."""
    card = cards.load("resynthesis")
    profile = cards.profile(wanted.profile)
    device = options.device(wanted.device)
    sources = wanted.data or (card.data[wanted.profile.split(":")[0]],)
    known_profile = "embedded" if wanted.profile == "embedded" else "paper"
    systems, left_out = loadable.systems(
        wanted.codecs or DEFAULT_CODECS, profile=known_profile, want=wanted.weights, device=device
    )
    columns = wanted.metrics or profile.columns
    results = outcome.Outcome(code=int(bool(left_out)))
    for source in sources:
        dataset = data.load(source, channels=wanted.channels, language=wanted.language).limit(wanted.limit)
        plan = Plan(
            task="resynthesis", systems=tuple(systems), dataset=dataset,
            columns=understood(tuple(c for c in columns if c not in ENGINE), dataset, asked=bool(wanted.metrics)),
            profile=wanted.profile, device=device, **wanted.engine,
            length=profile.protocol.length,
        )  # fmt: skip
        results.add(outcome.execute(plan, replace(wanted, data=(source,))))
    return results


def understood(columns: Sequence[str], dataset: Dataset, *, asked: bool) -> tuple[str, ...]:
    """`columns` less those whose metric does not know the languages of the speech; what is left out is told in a line.

    A column that was asked for is left out where its metric knows none of the languages only. Raises BenchError where
    nothing is left.
    """
    spoken = sorted({u.language for u in dataset})
    kept: list[str] = []
    lost: dict[str, list[str]] = {}
    for name in columns:
        unknown = [language for language in spoken if not metrics.find(name).knows(language)]
        if unknown and (not asked or len(unknown) == len(spoken)):
            lost.setdefault(", ".join(unknown), []).append(name)
        else:
            kept.append(name)
    if all(metrics.find(RECOGNISER).knows(language) for language in spoken):
        cure = f"METRICS={RECOGNISER} names a recogniser of many languages (its weights are on the hub)"
    else:
        cure = "columns that read no words know every language: METRICS=stoi,sim_resemblyzer,dnsmos_p808"
    told = "; ".join(f"{', '.join(names)}: not for speech in {which}" for which, names in lost.items())
    if not kept:
        raise BenchError(f"{dataset.name}: {told}; {cure}")
    if lost:
        print(f"  left out: {told}. {cure}")
    return tuple(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("resynthesis", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
