"""The leaderboard says what the rows say: values, intervals, counts, failures, ties, marks, weights and warnings."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.columns import every_column
from bench.errors import BenchError
from bench.metrics import Column
from bench.report import bands, leaderboard, treatment
from bench.report.columns import competes, family, score_names
from bench.report.papers import Reported
from bench.report.summary import summaries
from bench.report.text import display_width, grid, markdown_table
from bench.results import publish
from bench.speech import BY_HEART
from bench.stats.labels import REFERENCE, UNTREATED

Rows = pd.DataFrame


def _scores(markdown: str) -> list[str]:
    """Lines of the tables of scores, those of the first table left out."""
    return markdown.partition("- ◆")[2].splitlines()


def _cells(markdown: str, system: str) -> list[str]:
    line = next(line for line in _scores(markdown) if line.startswith(f"| `{system}`"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def page(baseline: Rows, columns: dict) -> str:
    return leaderboard.markdown(baseline, columns)


def test_values_are_the_rows_means_and_corpus_rates(baseline: Rows, columns: dict, page: str) -> None:
    mine = baseline[baseline["codec"] == "mulaw@5"]
    stoi = mine.loc[mine["column"] == "stoi", "value"].astype(float).mean()
    dwer = mine[mine["column"] == "dwer"]
    cells = _cells(page, "mulaw@5")
    assert cells[2].strip("*").startswith(f"{stoi:.3f}")
    assert cells[5].strip("*").startswith(f"{100 * dwer['num'].sum() / dwer['den'].sum():.1f}")
    assert cells[1] == "81.6" and cells[-1] == "36"


def test_header_names_speech_hash_counts_and_kind(page: str) -> None:
    assert "36 utterances, 12 speakers" in page and "synthetic speech" in page and "list 1a2b3c4d5e6f" in page
    assert "bootstrap over 12 speakers, 2,000 draws, seed 0" in page
    assert "Partial" not in page


def test_treated_rows_are_held_against_what_was_heard(baseline: Rows, columns: dict) -> None:
    [summary] = summaries(baseline, columns)
    assert treatment.line(summary, columns) == ""
    known = {"stoi": columns["stoi"], "dwer": columns["dwer"]}
    place = {
        role: replace(
            summary,
            systems=("reference@clean", "mulaw@5", "mulaw@8", "neural@1 [random]"),
            roles={"reference@clean": REFERENCE, heard: REFERENCE, "neural@1 [random]": UNTREATED},
        )
        for role, heard in (("poor", "mulaw@5"), ("good", "mulaw@8"))
    }
    poor = treatment.line(place["poor"], known)
    assert poor == "In every score the best treated row is better than mulaw@5, which no codec was applied to."
    good = treatment.line(place["good"], known)
    assert good == "No treated row is better than mulaw@8, which no codec was applied to, in STOI and dWER."
    dwer = {key: replace(cell, value=0.5) if key == ("mulaw@8", "dwer") else cell for key, cell in summary.cells.items()}
    assert treatment.line(replace(place["good"], cells=dwer), known).endswith("in STOI.")


def test_weights_are_part_of_the_name(page: str) -> None:
    assert "`neural@1 [nano]`" in page and "`neural@1 [random]`" in page and "`mulaw@8`" in page


def test_reference_is_on_top_without_a_rate_and_never_the_best(page: str) -> None:
    table = [line for line in _scores(page) if line.startswith("| `")]
    assert table[0].startswith("| `identity@pcm` |  |") and "**" not in table[0]
    assert [line.split("`")[1] for line in table[:3]] == ["identity@pcm", "mulaw@8", "mulaw@5"]
    assert "**" in table[1]


def test_arrows_follow_the_direction(page: str) -> None:
    assert "STOI ↑" in page and "dWER % ↓" in page


def test_twins_tie_and_close_ones_do_not(baseline: Rows, columns: dict) -> None:
    best = baseline[baseline["codec"] == "mulaw@8"]
    twin = best.assign(codec="twin@8")
    rng = np.random.default_rng(0)
    scored = (best["column"] == "si_sdr").to_numpy()
    near, far = best.assign(codec="near@8"), best.assign(codec="far@8")
    noise = rng.normal(0, 0.01, size=int(scored.sum()))
    near.loc[scored, "value"] = near.loc[scored, "value"].astype(float) + noise - noise.mean() - 1e-6
    far.loc[scored, "value"] = far.loc[scored, "value"].astype(float) + noise - 0.02
    found = summaries(pd.concat([best, twin, near, far], ignore_index=True), columns)[0]
    bold = {system for system in found.systems if found.cells[system, "si_sdr"].best}
    assert bold == {"mulaw@8", "twin@8", "near@8"}
    # the intervals of single codecs overlap all the same: pairing is what tells them apart
    assert found.cells["far@8", "si_sdr"].high > found.cells["mulaw@8", "si_sdr"].low


def test_a_codec_that_fails_on_the_hard_ones_does_not_win(baseline: Rows, columns: dict) -> None:
    poor = baseline[baseline["codec"] == "mulaw@5"].assign(codec="picky@1")
    stoi = np.flatnonzero((poor["column"] == "stoi").to_numpy())
    values = poor["value"].astype(object).to_numpy(copy=True)
    failure = poor["failure"].astype(object).to_numpy(copy=True)
    values[stoi[3:]], failure[stoi[3:]] = None, "silence"
    values[stoi[:3]] = 0.9999
    rows = pd.concat([baseline, poor.assign(value=values, failure=failure)], ignore_index=True)
    found = summaries(rows, columns)[0]
    cell = found.cells["picky@1", "stoi"]
    assert not cell.best and cell.n == 3 and cell.failures == {"silence": 33}
    assert found.cells["mulaw@8", "stoi"].best
    page = leaderboard.markdown(rows, columns)
    assert "3–36, 33 failed" in page and "33 silence" in page


def test_paper_numbers_stand_beside_ours(baseline: Rows, columns: dict) -> None:
    reported = {("neural@1", "dwer"): Reported(2.18, "arXiv 2502.04465, Table 2", "LibriSpeech test-clean")}
    page = leaderboard.markdown(baseline, columns, reported)
    assert "<sub>paper 2.2</sub>" in _cells(page, "neural@1 [nano]")[5]
    assert "arXiv 2502.04465, Table 2 (LibriSpeech test-clean)" in page
    text = leaderboard.terminal(baseline, columns, reported)
    assert "(2.2)" in text
    assert "in brackets: the number its authors report, on their data: arXiv 2502.04465, Table 2 (LibriSpeech test-clean)" in text


def test_paper_numbers_in_columns_that_we_lack_have_a_table_of_their_own(baseline: Rows, columns: dict) -> None:
    chunked = baseline.assign(codec=baseline["codec"].astype(str).replace("neural@1", "neural@1 (500 ms chunks)"))
    reported = {
        ("neural@1 (500 ms chunks)", "dwer"): Reported(4.55, "a paper, Table 9", "speech"),
        ("neural@1 (500 ms chunks)", "utmos"): Reported(3.16, "a paper, Table 9", "speech"),
        ("another@1", "sim"): Reported(97.0, "a paper, Table 9", "speech"),
    }
    page = leaderboard.markdown(chunked, columns, reported)
    assert "<sub>paper 4.5</sub>" in _cells(page, "neural@1 (500 ms chunks) [nano]")[5]
    besides = page.split("What the authors report besides")[1].split("</details>")[0]
    assert "| `neural@1 (500 ms chunks)` | 3.16 | a paper, Table 9 (speech) |" in besides.splitlines()
    assert "dWER" not in besides and "another@1" not in besides, "what stands in the table, and codecs that do not"
    assert "report besides" not in leaderboard.markdown(baseline, columns, reported)


def test_marks_have_a_legend_with_counts(baseline: Rows, columns: dict) -> None:
    rows = baseline.copy()
    late = ((rows["codec"] == "mulaw@5") & (rows["column"] == "delay_ms")).to_numpy()
    rows.loc[late, "value"] = 20.0
    rows["failure"] = rows["failure"].astype(object)
    rows.loc[late, "failure"] = None
    page, text = leaderboard.markdown(rows, columns), leaderboard.terminal(rows, columns)
    assert "`mulaw@5` <sup>D</sup>" in page
    assert re.search(r"- D: delay of 10 ms or more.*: mulaw@5 \(36 of 36\)", page)
    assert "mulaw@5^D" in text and "D: delay of 10 ms" in text


def test_partial_runs_are_marked_in_every_table(baseline: Rows, columns: dict) -> None:
    rows = baseline.assign(partial=True)
    assert "**Partial" in leaderboard.markdown(rows, columns) and "Partial" in leaderboard.terminal(rows, columns)


def test_one_table_per_task_data_and_condition(baseline: Rows, columns: dict) -> None:
    rows = pd.concat([baseline, baseline.assign(condition="noisy"), baseline.assign(dataset="other", synthetic=False)])
    page = leaderboard.markdown(rows, columns)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## resynthesis · embedded · clean",
        "## resynthesis · embedded · noisy",
        "## resynthesis · other · clean",
    ]
    assert "recorded speech" in page


def test_different_weights_under_one_label_are_told_apart(baseline: Rows, columns: dict) -> None:
    rows = pd.concat([baseline, baseline[baseline["weights"] == "nano"].assign(weights_sha256="cd" * 32)])
    page = leaderboard.markdown(rows, columns)
    assert "`neural@1 [nano abababab]`" in page and "`neural@1 [nano cdcdcdcd]`" in page


def test_two_rows_for_one_place_are_refused(baseline: Rows, columns: dict) -> None:
    with pytest.raises(BenchError, match="two rows for identity@pcm"):
        leaderboard.markdown(pd.concat([baseline, baseline.iloc[:1]]), columns)


def test_few_speakers_resample_utterances_and_one_utterance_has_no_interval(baseline: Rows, columns: dict) -> None:
    few = baseline[baseline["speaker"].isin(sorted(baseline["speaker"].unique())[:3])]
    assert "bootstrap over utterances within 3 speakers" in leaderboard.markdown(few, columns)
    one = baseline[baseline["utterance"] == baseline["utterance"].iloc[0]]
    page = leaderboard.markdown(one, columns)
    assert "±" not in _cells(page, "mulaw@5")[2]


def test_terminal_fits_the_width_and_colours_nothing_by_default(baseline: Rows, columns: dict) -> None:
    text = leaderboard.terminal(baseline, columns, width=70)
    body = "\n".join(line for line in text.split("\n±")[0].splitlines() if not line.startswith("list"))
    assert max(display_width(line) for line in body.splitlines()) <= 80
    assert "\x1b" not in text and "\x1b[1m" in leaderboard.terminal(baseline, columns, color=True)
    assert text.count("codec ") >= 2, "blocks repeat the name column"


def test_no_rows() -> None:
    assert leaderboard.markdown(pd.DataFrame(), {}) == "No rows.\n"


def test_grid_and_markdown_align_and_escape() -> None:
    text = grid(["a", "b"], [["x", "1"], ["long", "\x1b[1m22\x1b[0m"]])
    assert len({display_width(line) for line in text.splitlines()}) == 1
    assert markdown_table(["a"], [["x|y"]]).splitlines()[-1] == "| x\\|y |"


def test_failures_count_utterances_with_the_commonest_reason(baseline: Rows, columns: dict) -> None:
    """Three columns of the same five utterances fail: five failed, not fifteen; what needs a text is no failure."""
    part = baseline[baseline["codec"] == "mulaw@5"].assign(codec="lossy@1")
    bad = part["utterance"].isin(sorted(set(part["utterance"]))[:5]) & part["column"].isin(["stoi", "estoi", "si_sdr"])
    untold = part["column"] == "dwer"
    value, failure, detail = (part[name].astype(object).to_numpy(copy=True) for name in ("value", "failure", "detail"))
    value[bad | untold], failure[bad], detail[bad], failure[untold] = None, "bad_input", "no file u1.wav", "no_text"
    changed = part.assign(value=value, failure=failure, detail=detail, num=None, den=None)
    rows = pd.concat([baseline, changed], ignore_index=True)
    page, text = leaderboard.markdown(rows, columns), leaderboard.terminal(rows, columns)
    assert _cells(page, "lossy@1")[-1] == "31, 5 failed"
    assert "failed: lossy@1: 5 of 36 utterances, most often bad_input (5): no file u1.wav" in text
    assert "no_text" not in page and "n is below 90 % of the column's largest" in page


def test_the_first_table_answers_and_marks_the_pareto_rows(baseline: Rows, columns: dict) -> None:
    page, text = leaderboard.markdown(baseline, columns), leaderboard.terminal(baseline, columns, width=160)
    first = page.partition("### Which codec?")[2].partition("- ◆")[0]
    assert "|  | codec | kbps | kHz | causal | ms | RTF | STOI ↑ | dWER % ↓ |" in first
    rows = {line.split("`")[1]: line.split("|")[1].strip() for line in first.splitlines() if "`" in line}
    assert rows == {"identity@pcm": "", "mulaw@8": "◆", "mulaw@5": "◆", "neural@1 [nano]": "◆", "neural@1 [random]": ""}
    table = text.partition("\n\n")[2].partition("\n\n◆")[0]
    assert table.startswith("codec") and max(map(display_width, table.splitlines())) <= 100


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ("freecodec@v2", "Y: same synthesizer and voices as part of the training speech"),
        ("focalcodec@50", "Z: same synthesizer, in other voices, as part of the training speech"),
    ],
)
def test_small_weights_on_speech_of_their_synthesizer_are_marked(baseline: Rows, columns: dict, codec: str, said: str) -> None:
    mine = baseline[baseline["codec"] == "neural@1"].assign(codec=codec)
    rows = pd.concat([baseline, mine[mine["weights"] == "nano"]], ignore_index=True)
    for told in (leaderboard.markdown(rows, columns), leaderboard.terminal(rows, columns)):
        assert f"{said} (1 of 6 rows)" in told and f"{said}: {codec} [nano]" in told
        assert told.count("same synthesizer") == told.count(said)
    for other in (rows.assign(dataset="librispeech#test-clean"), baseline):
        assert "synthesizer" not in leaderboard.markdown(other, columns)


def test_similarity_of_narrow_band_speech_is_marked_where_it_is_scored(baseline: Rows) -> None:
    sim = Column("sim_resemblyzer", "Sim", "%", "higher", -1, 1, None, 1, 100.0)
    narrow = baseline[baseline["codec"] == "mulaw@5"].assign(codec="codec2@1200")
    scored = narrow[narrow["column"] == "stoi"].assign(column="sim_resemblyzer", metric="sim_resemblyzer")
    rows = pd.concat([baseline, narrow, scored], ignore_index=True)
    page = leaderboard.markdown(rows, {"stoi": Column("stoi", "STOI", "", "higher"), "sim_resemblyzer": sim})
    assert "`codec2@1200` <sup>H</sup>" in page and "H: speaker similarity of upsampled narrow-band speech" in page
    assert "<sup>H" not in leaderboard.markdown(rows, {"stoi": Column("stoi", "STOI", "", "higher")})


def test_what_is_known_by_heart_ranks_nobody(baseline: Rows, columns: dict) -> None:
    assert any(cell.best for cell in summaries(baseline, columns)[0].cells.values())
    rows = baseline.assign(condition=BY_HEART)
    [found] = summaries(rows, columns)
    assert not any(cell.best for cell in found.cells.values()) and set(found.blind) == set(score_names(found.columns, columns))
    page = leaderboard.markdown(rows, columns)
    assert page.count("no codec is best, and nothing is plotted") == 1
    assert "◆ |" not in page and "What the bits are worth" not in page and not re.search(r"\*\*[\d.]+\*\*", page)
    assert "no codec is best" in bands.terminal(found, columns) and not bands.winners(found, columns)


@pytest.mark.parametrize(("topline", "blind"), [(0.998, True), (0.6, False)])
def test_a_probe_that_learned_nothing_says_so_and_ranks_nobody(
    baseline: Rows, topline: float, blind: bool, tmp_path: Path
) -> None:
    column = Column("probe_wer", "WER of the probe", "%", "lower", 0, None, None, 1, 100.0)
    some = baseline[(baseline["codec"] == "mulaw@5") & (baseline["column"] == "stoi")].assign(column="probe_wer")
    jitter = np.where(np.arange(len(some)) % 2, 0.03, -0.03)
    parts = [
        some.assign(codec=name, value=value + (0 if name == "chance" else jitter))
        for name, value in (("chance", 1.0), ("log-mel", topline), ("a@1", 0.97), ("b@1", 0.99))
    ]
    rows = pd.concat(parts, ignore_index=True)
    found = summaries(rows, {"probe_wer": column})[0]
    assert bool(found.blind) is blind
    assert any(cell.best for cell in found.cells.values()) is not blind
    assert ("WER of the probe cannot tell anything" in leaderboard.markdown(rows, {"probe_wer": column})) is blind
    sent = baseline[(baseline["codec"] == "mulaw@5") & (baseline["column"] == "bitrate_packed")]
    rates = [sent.assign(codec=name, value=sent["value"] * n, num=sent["num"] * n) for n, name in enumerate(("a@1", "b@1"), 1)]
    known = {"probe_wer": column, "bitrate_packed": every_column()["bitrate_packed"]}
    picture, page = tmp_path / "rate_distortion.png", tmp_path / "leaderboard.md"
    picture.write_bytes(b"of an older run")
    publish.publish(pd.concat([rows, *rates], ignore_index=True), tmp_path, known)
    assert picture.exists() is not blind, "nothing is plotted, and no older plot stays"
    assert ("What the bits are worth" in page.read_text(encoding="utf-8")) is not blind
    assert ("**9" in page.read_text(encoding="utf-8")) is not blind and ("◆ |" in page.read_text(encoding="utf-8")) is not blind


def test_a_reference_under_a_condition_is_still_no_codec() -> None:
    """Robustness scores the original, clipped or at 8 kHz, too: it tells what the condition alone costs."""
    for system in ("identity", "identity (8 kHz)", "identity (low level 30 dB)", "chance", "log-mel"):
        assert not competes(system, "degraded")
    for system in ("opus@12 (8 kHz)", "focalcodec@50 (tandem 2) [nano]", "mulaw"):
        assert competes(system, "degraded")
    assert family("focalcodec@50 (tandem 2) [nano]") == "focalcodec" and family("identity (8 kHz)") == "identity"
