"""What a table says of rates: laws on rows whose rates and scores are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.cli.main import main
from bench.columns import ENGINE
from bench.metrics import Column
from bench.report import leaderboard, rate_distortion
from bench.report.summary import summaries
from bench.results import schema

COLUMNS = {
    "stoi": Column("stoi", "STOI", "", "higher", 0, 1), "dwer": Column("dwer", "dWER", "%", "lower", scale=100.0),
    "bitrate_packed": ENGINE["bitrate_packed"],
}  # fmt: skip


def table() -> pd.DataFrame:
    """One family, another with the same scores at twice the rate, and a codec that is beaten by both."""
    noise = np.random.default_rng(0).normal(0, 0.01, 30)
    points = {
        "a@1": (1, 0.6), "a@2": (2, 0.7), "a@4": (4, 0.8), "b@2": (2, 0.6), "b@4": (4, 0.7), "b@8": (8, 0.8), "c@9": (9, 0.5),
    }  # fmt: skip
    made = []
    for codec, (rate, score) in points.items():
        for n, some in enumerate(noise):
            for column, value in (("stoi", score + some), ("dwer", 0.9 - score - some), ("bitrate_packed", float(rate))):
                made.append({
                    "task": "resynthesis", "dataset": "toy", "condition": "clean", "codec": codec, "weights": "none",
                    "utterance": f"u{n}", "speaker": f"s{n}", "seconds": 3.0, "column": column, "metric": "m",
                    "metric_version": "1", "value": value,
                })  # fmt: skip
    return schema.typed(made)


def test_twice_the_rate_for_the_same_score() -> None:
    [summary] = summaries(table(), COLUMNS)
    for delta in rate_distortion.deltas(summary, COLUMNS, ["stoi", "dwer"], [("a", "b"), ("b", "a")]):
        wanted = 1.0 if delta.test == "b" else -0.5
        assert (delta.value, delta.low, delta.high) == pytest.approx((wanted, wanted, wanted), abs=1e-6)


def test_front_holds_what_nothing_beats() -> None:
    [summary] = summaries(table(), COLUMNS)
    found = rate_distortion.fronts(summary, COLUMNS, ["stoi"])["stoi"]
    assert found == [("a@1", 1.0), ("a@2", 1.0), ("a@4", 1.0)]


def test_the_table_and_the_comparison_tell_it() -> None:
    page = leaderboard.markdown(table(), COLUMNS)
    assert "What the bits are worth" in page
    assert "+100 % [+100 %, +100 %]" in page
    for a, b in (("a", "b"), ("a@1", "b@8")):
        assert rate_distortion.compared(table(), a, b, COLUMNS)[0] == "BD-rate of b against a, STOI: +100 % [+100 %, +100 %]"
    assert rate_distortion.compared(table(), "a@1", "a@2", COLUMNS) == []
    assert rate_distortion.compared(table(), "a", "c", COLUMNS) == []


def test_two_names_that_no_table_compares_are_told_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """A family that the rows hold is no unknown codec: the other name is at fault, or a curve is missing."""
    rows = ["--rows", "results/asr/fsdd"]
    for a, b, code, said in (
        ("focalcodec", "freecodac", 2, "unknown codec in these rows 'freecodac'"),
        ("freecodac", "focalcodec", 2, "unknown codec in these rows 'freecodac'"),
        ("focalcodec", "codec2", 1, "in no table together with two operating points or more of each"),
    ):
        assert main(["compare", a, b, *rows]) == code
        told = capsys.readouterr().err
        assert said in told and told.count("\n") == 1
