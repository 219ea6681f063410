"""Streaming: speech through each codec chunk by chunk, beside the whole signal at once. `python -m bench.tasks.streaming`.

For every chunk size the table tells the scores, how long a listener waits, and how fast one thread runs. A codec's line
"(whole signal)" is what its chunks could reach at best.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench import data
from bench.columns import ENGINE, STREAMING
from bench.engine.plan import Line, Plan
from bench.engine.producers.resynthesis import Resynthesis
from bench.engine.runner import Runner
from bench.engine.systems import System
from bench.errors import BenchError
from bench.guard import guarded
from bench.results import rows as row_files
from bench.results import schema, upkeep
from bench.results.identity import by_system
from bench.stats.labels import CEILING
from bench.store import Store
from bench.tasks import cards, loadable, options, outcome
from bench.tasks.chunks import Chunked
from bench.tasks.options import Options

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_CODECS = ("focalcodec@50", "focalcodec@25", "focalcodec@12.5", "freqcodec@2")
WHOLE = "whole signal"
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Chunking:
    """The task's settings. chunk_ms: sizes of chunks. context_ms: of what is coded again before each. overlap: a share."""

    chunk_ms: tuple[float, ...]
    context_ms: float
    overlap: float

    @classmethod
    def of(cls, settings: Any) -> Chunking:
        """From a card's settings."""
        return cls(tuple(settings["chunk_ms"]), float(settings["context_ms"]), float(settings["overlap"]))


def run(wanted: Options) -> outcome.Outcome:
    """Run the task on every data set asked for; rows and leaderboard of each are written and told."""
    card = cards.load("streaming")
    profile = "embedded" if wanted.profile == "embedded" else "paper"
    device = options.device(wanted.device)
    columns = wanted.metrics or tuple(card.settings["columns"][profile])
    systems, left_out = loadable.systems(wanted.codecs or DEFAULT_CODECS, profile=profile, want=wanted.weights, device=device)
    if lost := [system.name for system in systems if system.point.adapter == "published"]:
        raise BenchError(f"{lost[0]}: audio that was decoded elsewhere cannot be coded in chunks; name a codec that runs here")
    results = outcome.Outcome(code=int(bool(left_out)))
    for source in wanted.data or (card.data[profile],):
        dataset = data.load(source, channels=wanted.channels, language=wanted.language).limit(wanted.limit)
        plan = Plan(
            "streaming", tuple(systems), dataset, tuple(c for c in columns if c not in {*ENGINE, *STREAMING}),
            profile=wanted.profile, device=device, **wanted.engine,
            lines=tuple(lines(systems, Chunking.of(card.settings))), length=cards.profile(wanted.profile).protocol.length,
        )  # fmt: skip
        results.add(_run(plan, replace(wanted, data=(source,))))
    return results


def lines(systems: Sequence[System], chunking: Chunking) -> Iterator[Line]:
    """Of each system the whole signal, then one line per chunk size."""
    for system in systems:
        yield Line(system, Resynthesis(role=CEILING), WHOLE)
        for size in chunking.chunk_ms:
            producer = Chunked(
                chunk_ms=size, context_ms=chunking.context_ms, overlap=chunking.overlap,
                nominal_kbps=system.point.bitrate_kbps,
            )  # fmt: skip
            yield Line(system, producer, f"{size:g} ms chunks")


def _run(plan: Plan, wanted: Options) -> outcome.Outcome:
    outcome.announce(plan, wanted.results)
    with Store(wanted.store) as store:
        where = outcome.checked_place(plan, wanted, store)
        upkeep.inspect(where.folder())
        runner = Runner(plan, store, failures=wanted.failures)
        runner.run()
        rows = row_files.frame(plan, store, runner.failures)
        row_files.note_needs(plan, store, where.folder())
    return outcome.finish(schema.joined([rows, percentiles(rows)]), where, plan, wanted)


def percentiles(rows: pd.DataFrame) -> pd.DataFrame:
    """p50, p95 and p99 of the times of all chunks of each system, as rows of the whole set."""
    times = rows[(rows["column"].astype(str) == "chunk_times") & rows["detail"].notna() & rows["failure"].isna()]
    made = []
    for _, part in by_system(times):
        every = sorted(1000 * second for detail in part["detail"].astype(str) for second in json.loads(detail))
        about = part.iloc[0].to_dict() | {"utterance": "(set)", "speaker": schema.WHOLE_SET, "language": "-"}
        for percent in PERCENTILES:
            made.append(about | {"column": f"chunk_p{percent}_ms", "value": _percentile(every, percent), "detail": None})
    return schema.typed(made)


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the times that at least `percent` of all do not exceed (nearest rank)."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return guarded(lambda: run(options.parse("streaming", argv)).code)


if __name__ == "__main__":
    sys.exit(main())
