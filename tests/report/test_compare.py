"""compare: paired differences that equal a paired bootstrap by hand, verdicts that mirror, and names that resolve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.errors import BenchError, UnknownName
from bench.report import compare
from bench.stats import paired

Rows = pd.DataFrame


@pytest.fixture(scope="module")
def table(baseline: Rows, columns: dict) -> pd.DataFrame:
    return compare.compare(baseline, "mulaw@8", "mulaw@5", columns)


def _line(table: pd.DataFrame, column: str) -> pd.Series:
    return table[table["column"] == column].iloc[0]


def _values(rows: Rows, codec: str, column: str, field: str = "value") -> pd.Series:
    mine = rows[(rows["codec"] == codec) & (rows["column"] == column)]
    return mine.set_index(mine["utterance"].astype(str))[field].astype(float).sort_index()


def test_difference_and_interval_equal_the_bootstrap_by_hand(baseline: Rows, table: pd.DataFrame) -> None:
    a, b = _values(baseline, "mulaw@8", "stoi"), _values(baseline, "mulaw@5", "stoi")
    by_hand = paired(a, b, speakers=[name.rsplit("_", 1)[0] for name in a.index])
    line = _line(table, "stoi")
    assert line["n"] == 36
    assert line["difference"] == pytest.approx((b - a).mean())
    assert [line["low"], line["high"]] == pytest.approx([by_hand.low, by_hand.high])
    assert line["speakers_low"] < line["difference"] < line["speakers_high"]


def test_corpus_rates_are_differences_of_ratios(baseline: Rows, table: pd.DataFrame) -> None:
    rates = [
        _values(baseline, codec, "dwer", "num").sum() / _values(baseline, codec, "dwer", "den").sum()
        for codec in ("mulaw@8", "mulaw@5")
    ]
    line = _line(table, "dwer")
    assert [line["a"], line["b"]] == pytest.approx(rates)
    assert line["difference"] == pytest.approx(rates[1] - rates[0])


def test_verdicts_mirror(baseline: Rows, columns: dict, table: pd.DataFrame) -> None:
    table, back = table.dropna(subset="q"), compare.compare(baseline, "mulaw@5", "mulaw@8", columns).dropna(subset="q")
    assert set(table["verdict"]) == {"worse"} and set(back["verdict"]) == {"better"}
    assert np.allclose(back["difference"], -table["difference"]) and np.allclose(back["p"], table["p"], atol=1e-6)
    assert (table["p_holm"] >= table["p"]).all() and (table["q"] >= table["p"]).all()


def test_a_codec_equals_its_copy(baseline: Rows, columns: dict) -> None:
    rows = pd.concat([baseline, baseline[baseline["codec"] == "mulaw@8"].assign(codec="copy@8")])
    found = compare.compare(rows, "mulaw@8", "copy@8", columns).dropna(subset="q")
    assert set(found["verdict"]) == {"same"} and (found["difference"] == 0).all() and (found["p"] == 1).all()


def test_only_utterances_that_both_scored_count(baseline: Rows, columns: dict) -> None:
    gone = baseline["utterance"].iloc[0]
    rows = baseline[~((baseline["codec"] == "mulaw@5") & (baseline["utterance"] == gone))]
    assert set(compare.compare(rows, "mulaw@8", "mulaw@5", columns)["n"]) == {35}


def test_names_resolve_or_say_what_is_near(baseline: Rows, columns: dict) -> None:
    found = compare.compare(baseline, "neural@1 [nano]", "neural@1 [random]", columns)
    assert found["system_a"].iloc[0] == "neural@1 [nano]"
    with pytest.raises(BenchError, match=r"several systems.*\[nano\].*\[random\]"):
        compare.compare(baseline, "neural@1", "mulaw@8", columns)
    with pytest.raises(UnknownName, match="mulaw@5"):
        compare.compare(baseline, "mulaw@55", "mulaw@8", columns)
    with pytest.raises(BenchError, match="same system"):
        compare.compare(baseline, "mulaw@8", "mulaw@8", columns)


def test_other_speech_is_no_pair(baseline: Rows, columns: dict) -> None:
    a, b = baseline[baseline["codec"] == "mulaw@8"], baseline[baseline["codec"] == "mulaw@5"]
    rows = pd.concat([a, b.assign(dataset_sha256=b["dataset_sha256"].astype(object).map(lambda _: "ffff"))])
    with pytest.raises(BenchError, match="no scores of the same utterances"):
        compare.compare(rows, "mulaw@8", "mulaw@5", columns)


def test_text_and_markdown_show_every_line(table: pd.DataFrame, columns: dict) -> None:
    text, page = compare.terminal(table, columns), compare.markdown(table, columns)
    for title in ("STOI ↑", "SI-SDR dB ↑", "dWER % ↓"):
        assert title in text and title in page
    assert "A = mulaw@8, B = mulaw@5" in text and text.count("worse") >= 4


def test_rates_and_speeds_stand_beside_the_scores_and_are_not_judged(table: pd.DataFrame, columns: dict) -> None:
    rate = _line(table, "bitrate_packed")
    assert [rate["a"], rate["b"]] == pytest.approx([128 * 1.02, 80 * 1.02]) and rate["verdict"] == ""
    assert table.loc[table["column"].isin(compare.TOLD), ["p", "q", "p_holm"]].isna().all(axis=None)
    assert "packed kbps" in compare.terminal(table, columns) and "RTF decode" in compare.markdown(table, columns)


def test_the_better_system_is_named_in_words(baseline: Rows, columns: dict, table: pd.DataFrame) -> None:
    said = compare.terminal(table, columns)
    assert "mulaw@8 is the better system here: better in STOI, ESTOI, SI-SDR and dWER, worse in nothing." in said
    assert "mulaw@5 sends 81.6 kbps, mulaw@8 131." in said
    back = compare.compare(baseline, "mulaw@5", "mulaw@8", columns)
    assert "mulaw@8 is the better system here" in compare.markdown(back, columns)
    rows = pd.concat([baseline, baseline[baseline["codec"] == "mulaw@8"].assign(codec="copy@8")])
    same = compare.terminal(compare.compare(rows, "mulaw@8", "copy@8", columns), columns)
    assert "Neither mulaw@8 nor copy@8 is shown to be better. They are the same within the margin in" in same
    assert "Both send 131 kbps" in same
