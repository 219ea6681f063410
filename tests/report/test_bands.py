"""Winners by bands of the bit rate: which codec stands where, who is best there, and what is not told apart."""

from __future__ import annotations

import math
from itertools import pairwise

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.report import bands
from bench.report.bands import BANDS, Band
from bench.report.summary import Summary, best_among, summaries

Rows = pd.DataFrame


@pytest.fixture(scope="module")
def rated(baseline: Rows) -> Rows:
    """The baseline's mu-law codecs at four rates: two in one band, one each in two others."""
    mine = baseline[baseline["codec"].astype(str).isin(["mulaw@8", "mulaw@5"])]
    rate = mine["column"].astype(str).str.startswith("bitrate")
    low = mine.assign(codec="low" + mine["codec"].astype(str), num=mine["num"].where(~rate, mine["den"]))
    return pd.concat([baseline, low], ignore_index=True)


@pytest.fixture(scope="module")
def summary(rated: Rows, columns: dict) -> Summary:
    return summaries(rated, columns)[0]


def test_bands_follow_one_another_and_hold_every_rate() -> None:
    assert BANDS[0].low == 0 and math.isinf(BANDS[-1].high)
    assert all(a.high == b.low for a, b in pairwise(BANDS))
    for rate in (0.01, 0.375, 0.7499, 0.75, 1.4999, 1.5, 24.0, 256.0):
        assert sum(rate in band for band in BANDS) == 1
    assert Band(0.75, 1.5) in BANDS and Band(0.75, 1.5).title == "0.75 to 1.5"
    assert 0.75 in Band(0.75, 1.5) and 1.5 not in Band(0.75, 1.5)


@pytest.mark.parametrize(
    ("text", "band"),
    [("0.75-1.5", Band(0.75, 1.5)), ("-0.75", Band(0, 0.75)), ("24-", Band(24, math.inf)), ("1 to 2", Band(1, 2))],
)
def test_a_band_is_read(text: str, band: Band) -> None:
    assert bands.parse(text) == band


@pytest.mark.parametrize("text", ["", "-", "2-1", "1-1", "results/x", "0.5", "a-b", "1.2.3-4", "1--2"])
def test_what_is_no_band_is_told_in_one_line(text: str) -> None:
    with pytest.raises(BenchError, match=r"--band .*0\.75-1\.5"):
        bands.parse(text)


def test_each_codec_competes_with_those_of_its_band(summary: Summary, columns: dict) -> None:
    found = {won.band.title: won for won in bands.winners(summary, columns)}
    assert {"lowmulaw@8", "lowmulaw@5"} <= set(found["0.75 to 1.5"].systems)
    # the same waves at another rate: each band has its own best, though the whole table has both
    assert found["0.75 to 1.5"].best["stoi"] == ("lowmulaw@8",)
    assert "mulaw@8" in found["24 and more"].best["stoi"]
    listed = [system for won in found.values() for system in won.systems]
    assert len(listed) == len(set(listed)) and "identity@pcm" not in listed


def test_the_best_of_the_whole_table_is_the_best_of_its_only_band(summary: Summary, columns: dict) -> None:
    [whole] = best_among(summary, columns, ["stoi", "dwer"], [summary.systems])
    for name, systems in whole.items():
        assert set(systems) == {system for system in summary.systems if summary.cells[system, name].best}
        values = [summary.cells[system, name].value for system in systems]
        assert values == sorted(values, reverse=columns[name].better == "higher")


def test_ties_are_told_and_a_lone_codec_is_named(summary: Summary, columns: dict) -> None:
    [pair, lone] = best_among(summary, columns, ["stoi"], [["mulaw@8", "lowmulaw@8"], ["mulaw@5"]])
    assert set(pair["stoi"]) == {"mulaw@8", "lowmulaw@8"} and lone["stoi"] == ("mulaw@5",)


def test_text_and_markdown_and_records_tell_the_same(summary: Summary, columns: dict) -> None:
    text, page = bands.terminal(summary, columns), bands.markdown(summary, columns)
    for record in bands.records(summary, columns):
        column, value = columns[str(record["column"])], float(str(record["value"]))
        shown = f"{value * column.scale:.{column.decimals}f}"
        assert f"{record['system']}" in text and f"`{record['system']}` {shown}" in page and shown in text
    assert bands.NOTE in text and "| 0.75 to 1.5 | 4 |" in page


def test_a_table_without_rates_says_so(baseline: Rows, columns: dict) -> None:
    rows = baseline[baseline["column"] != "bitrate_packed"]
    [found] = summaries(rows[~rows["column"].str.startswith("bitrate")], columns, 100)
    assert bands.winners(found, columns) == [] and "no codec with a measured rate" in bands.terminal(found, columns)
