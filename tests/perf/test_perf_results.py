"""Speed of results: one codec merged into a table of 1,000,000 rows, and the table made from it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bench.results import current, merge, publish, schema
from bench.tasks import columns

sys.path.insert(0, str(Path(__file__).parents[1] / "results"))
from made import rows

SCORES = ("stoi", "estoi", "pesq_wb", "si_sdr", "bitrate_packed")
UTTERANCES, SPEAKERS, CODECS = 20_000, 1_000, 10
"""Times five columns: 1,000,000 rows."""


def slices(codec: str, seed: int) -> Iterator[pa.Table]:
    base = schema.as_arrow(rows(codec, SCORES, 1))
    rng = np.random.default_rng(seed)
    for start in range(0, UTTERANCES, 2000):
        which = np.repeat(np.arange(start, start + 2000), len(SCORES))
        part = base.take(pa.array(np.tile(np.arange(len(SCORES)), 2000)))
        made = {
            "utterance": [f"u{n:07d}" for n in which],
            "speaker": [f"s{n % SPEAKERS}" for n in which],
            "value": rng.random(len(which)),
        }
        for name, values in made.items():
            part = part.set_column(part.column_names.index(name), name, pa.array(values))
        yield part


def test_merge_of_one_codec_into_a_million_rows(benchmark: pytest.FixtureRequest, tmp_path: Path) -> None:
    """At most 10 s for all of it: merge, what is stale, statistics, leaderboard and plot."""
    for number in range(CODECS - 1):
        merge.renew(tmp_path, slices(f"codec{number}@1", number))
    fresh = list(slices("opus@6", 99))

    def run() -> str:
        merge.renew(tmp_path, fresh)
        found = current.read(tmp_path)
        assert found.kinds["count"].sum() == UTTERANCES * len(SCORES) * CODECS
        return publish.publish(found, tmp_path, columns.shown(found.kinds))[0]

    start = time.process_time()
    text = benchmark.pedantic(run, rounds=1)
    spent = time.process_time() - start
    print(f"\nmerge and table of 1,000,000 rows: {spent:.1f} s CPU")
    assert "opus@6" in text and spent < 10
