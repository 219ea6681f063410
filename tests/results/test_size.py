"""A table of many utterances: memory that hardly grows, numbers that are the bootstrap's, outputs that are items."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench import validity
from bench.errors import BenchError
from bench.stats import bootstrap, resampling
from bench.stats.scores import read_scores
from bench.stats.scores import scores as scores_of
from bench.stats.tables import tables

SCRIPT = Path(__file__).with_name("rows_of_many.py")
MOST_BYTES = 400
"""Of memory that an utterance more may cost; a million of them stay within 300 MiB of ten thousand."""


def cost(folder: Path, count: int) -> dict[str, Any]:
    home = os.pathsep.join([str(SCRIPT.parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder), str(count)], check=True, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": home})  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_memory_of_a_table_hardly_grows(tmp_path: Path) -> None:
    """Both are above one slice of rows; as Python objects an utterance costs 7,000 bytes."""
    small, large = cost(tmp_path / "small", 60_000), cost(tmp_path / "large", 160_000)
    least = {"small": small["mib"], "large": large["mib"]}
    # What the allocator keeps differs by 25 MiB from run to run: the least peak of three counts, where one is not enough.
    for again in range(2):
        if (least["large"] - least["small"]) * 2**20 <= MOST_BYTES * 100_000:
            break
        for name, count in (("small", 60_000), ("large", 160_000)):
            least[name] = min(least[name], cost(tmp_path / f"{name}{again}", count)["mib"])
    assert (least["large"] - least["small"]) * 2**20 <= MOST_BYTES * 100_000
    assert large["table_s"] <= 1e-3 * 160_000 * 2
    assert "159840, 160 failed" in large["table"]


def _rows(n: int = 400, speakers: int = 20, **more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    base = {"task": "t", "condition": "clean", "dataset": "d", "dataset_sha256": "a", "weights": "none", "failure": None}
    made = [
        {**base, "codec": codec, "utterance": f"u{i:04d}", "speaker": f"s{i % speakers}", "column": "stoi",
         "value": 0.7 + shift + rng.normal(0, 0.05), "num": np.nan, "den": np.nan, "seconds": 1.0, **more}
        for codec, shift in (("a@1", 0.0), ("b@1", 0.1)) for i in range(n)
    ]  # fmt: skip
    return pd.DataFrame(made)


@pytest.mark.parametrize("scheme", ["utterance", "stratified", "cluster"])
def test_draws_of_sums_are_the_full_bootstrap(scheme: resampling.Scheme) -> None:
    """Sums per speaker give the very interval that all utterances give, for the same seed."""
    rows = _rows()
    found = scores_of(rows)
    sample = found.draws(scheme, 500, 3)[:, 0, 0]
    mine = rows[rows["codec"] == "a@1"].sort_values("utterance")
    values, speakers = mine["value"].to_numpy(), mine["speaker"].to_numpy()
    whole = bootstrap.interval(values, speakers=speakers, scheme=scheme, method="expanded", draws=500, seed=3)
    bounds = bootstrap.bounds(whole.estimate, sample, 0.95, "expanded", found.df(scheme))
    assert bounds == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_terms_that_are_read_again_are_those_that_were_held(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pd.concat([_rows(), _rows(column="pesq_wb")]).drop(index=[3, 500])
    rows = rows.reset_index(drop=True)
    held = scores_of(rows)
    monkeypatch.setattr(sys.modules[read_scores.__module__], "HELD", 1)
    again = scores_of(rows)
    assert held._held and not again._held
    assert np.array_equal(held.num, again.num) and np.array_equal(held.totals, again.totals)
    assert np.array_equal(held.draws("cluster", 50), again.draws("cluster", 50))
    assert np.array_equal(held.pair(0, 1, 0)[0], again.pair(0, 1, 0)[0])


def test_very_many_strata_cost_no_more_and_tell_the_same() -> None:
    """With 30,000 speakers of 4 utterances, groups hold several speakers: the standard error is the stratified one, which does
    not count how speakers differ from one another."""
    rng = np.random.default_rng(2)
    speakers = np.repeat(np.arange(30_000), 4)
    values = rng.normal(0, 3, 30_000)[speakers] + rng.normal(0, 1, len(speakers))
    design = resampling.plan(len(values), speakers, "stratified")
    assert design.units == resampling.GROUPS
    np.testing.assert_allclose(design.sums(values[:, None]).sum(), values.sum())
    found = bootstrap.interval(values, speakers=speakers, scheme="stratified", draws=400)
    assert found.se == pytest.approx(1 / np.sqrt(len(values)), rel=0.12)


def test_an_interval_over_a_million_utterances_takes_seconds() -> None:
    rng = np.random.default_rng(3)
    found = bootstrap.interval(rng.normal(size=1_000_000), speakers=np.arange(1_000_000) // 7, scheme="stratified", draws=300)
    assert found.units <= resampling.GROUPS and found.se == pytest.approx(1e-3, rel=0.15)


def test_two_outputs_of_one_utterance_have_a_place_each() -> None:
    rows = pd.concat([_rows(6, 3, output=name) for name in ("voice 1", "voice 2")], ignore_index=True)
    [table] = tables(rows)
    data = read_scores(table, ["stoi"])
    assert len(data.items) == 12 and data.items.utterances == 6 and data.counts.tolist() == [[12], [12]]
    assert data.items.names([0, 1]) == ["u0000 (voice 1)", "u0000 (voice 2)"]
    assert data.items.plan("utterance").units == 6, "the outputs of an utterance are drawn together"
    with pytest.raises(BenchError, match="two rows for a@1, utterance 'u0000 \\(voice 1\\)'"):
        scores_of(pd.concat([rows, rows.iloc[:1]], ignore_index=True))


def test_counted_alarms_are_the_told_ones() -> None:
    rows = pd.concat([_rows(40, 4), _rows(40, 4, column="gain_db", value=5.0)], ignore_index=True)
    same = _rows(40, 4, column="wave", value=np.nan, detail="feed")
    rows = pd.concat([rows, same[same["codec"] == "b@1"].head(7)], ignore_index=True)
    told = validity.marks(validity.alarms(rows), rows)
    [table] = tables(rows)
    counted = dict(zip(table.systems, validity.marks_of(table.parts, table.items, "clean"), strict=True))
    for system, marks in counted.items():
        mine = told[told["system"] == system]
        assert marks == [(m, f"{text} ({n} of {total})") for m, text, n, total in
                         zip(mine["mark"], mine["meaning"], mine["count"], mine["total"], strict=True)]  # fmt: skip
    assert {mark for mark, _ in counted["b@1"]} == {"L", "X"}
