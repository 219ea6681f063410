"""The gate passes what did not change and catches what did: each planted fault fails the check that is meant for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bench.errors import BenchError
from bench.report import gate
from bench.report.gate import GateResult

Rows = pd.DataFrame


def _mulaw(steps: float) -> Callable[[np.ndarray], np.ndarray]:
    def decode(x: np.ndarray) -> np.ndarray:
        squeezed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
        level = np.round(squeezed * steps) / steps
        return (np.sign(level) * np.expm1(np.abs(level) * np.log(256)) / 255).astype(np.float32)

    return decode


def _failed(result: GateResult) -> set[tuple[str, str]]:
    return {(finding.system, finding.check) for finding in result.failures}


def test_a_run_against_itself_passes(baseline: Rows, columns: dict) -> None:
    result = gate.check(baseline, baseline, columns)
    assert result.passed and result.exit_code == 0
    assert all(finding.status == "ok" for finding in result.findings)
    assert "Gate passed" in result.table and "mulaw@5" in result.table


def test_a_second_run_of_the_same_code_passes(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    again = rescore(_mulaw(15)).sample(frac=1, random_state=0)  # rows come in any order
    result = gate.check(again, baseline, columns)
    assert result.passed and not any(finding.status == "cannot tell" for finding in result.findings)


def test_a_codec_made_slightly_worse(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    worse = rescore(_mulaw(14.2), version="2")  # 5 % coarser steps
    result = gate.check(worse, baseline, columns)
    assert result.exit_code == 1
    assert {("mulaw@5", "SI-SDR")} <= _failed(result) and {system for system, _ in _failed(result)} == {"mulaw@5"}
    assert "worse" in result.table and "renew" not in result.table


def test_the_same_change_without_a_new_version_fails_on_the_codes(
    baseline: Rows, rescore: Callable[..., Rows], columns: dict
) -> None:
    result = gate.check(rescore(_mulaw(15.001)), baseline, columns)
    assert ("mulaw@5", "codes") in _failed(result)
    assert "unchanged" in result.table


def test_a_declared_change_that_costs_nothing_passes(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    result = gate.check(rescore(_mulaw(15.001), version="2"), baseline, columns)
    assert result.passed
    assert any(finding.status == "note" and finding.check == "codes" for finding in result.findings)


def test_a_gain_is_no_fault(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    result = gate.check(rescore(_mulaw(20), version="2"), baseline, columns)
    assert result.passed and "better" in result.markdown


@pytest.mark.parametrize("end", ["first", "last"])
def test_one_sample_dropped(baseline: Rows, rescore: Callable[..., Rows], columns: dict, end: str) -> None:
    decode = _mulaw(15)
    dropped = rescore(lambda x: decode(x)[1:] if end == "first" else decode(x)[:-1], version="2")
    result = gate.check(dropped, baseline, columns)
    assert ("mulaw@5", "missing end ms") in _failed(result)
    assert (("mulaw@5", "delay ms") in _failed(result)) is (end == "first")


def test_one_utterance_lost(baseline: Rows, columns: dict) -> None:
    gone = baseline["utterance"].iloc[0]
    lost = (baseline["codec"] == "mulaw@8") & (baseline["utterance"] == gone)
    result = gate.check(baseline[~lost], baseline, columns)
    assert _failed(result) == {("mulaw@8", "utterances")}
    assert str(gone) in result.table


def test_one_score_row_lost(baseline: Rows, columns: dict) -> None:
    drop = (baseline["codec"] == "mulaw@8") & (baseline["column"] == "stoi")
    result = gate.check(baseline.drop(baseline[drop].index[0]), baseline, columns)
    assert _failed(result) == {("mulaw@8", "stoi rows")}


def _edited(rows: Rows, where: pd.Series, **values: object) -> Rows:
    out = rows.copy()
    for name, value in values.items():
        out[name] = out[name].astype(object)
        out.loc[where, name] = value
    return out


def test_a_new_failure(baseline: Rows, columns: dict) -> None:
    at = baseline[(baseline["codec"] == "mulaw@8") & (baseline["column"] == "stoi")].index[:1]
    broken = _edited(baseline, baseline.index.isin(at), value=np.nan, failure="silence")
    assert _failed(gate.check(broken, baseline, columns)) == {("mulaw@8", "stoi failures")}
    assert gate.check(baseline, broken, columns).passed, "fewer failures are no fault"


def test_bits_are_exact(baseline: Rows, columns: dict) -> None:
    at = baseline[(baseline["codec"] == "mulaw@8") & (baseline["column"] == "bitrate_packed")].index[3]
    dearer = baseline.copy()
    dearer.loc[at, "num"] += 0.001  # one bit in one utterance
    assert _failed(gate.check(dearer, baseline, columns)) == {("mulaw@8", "packed kbps")}


def test_a_new_alarm(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    decode = _mulaw(15)
    result = gate.check(rescore(lambda x: -decode(x), version="2"), baseline, columns)
    assert ("mulaw@5", "alarm: polarity") in _failed(result)


def test_missing_codec_task_and_other_speech(baseline: Rows, columns: dict) -> None:
    assert ("mulaw@8", "presence") in _failed(gate.check(baseline[baseline["codec"] != "mulaw@8"], baseline, columns))
    other = _edited(baseline, baseline.index >= 0, dataset_sha256="ffff")
    assert _failed(gate.check(other, baseline, columns)) == {("all", "speech list")}
    noisy = _edited(baseline, baseline.index >= 0, condition="noisy")
    assert _failed(gate.check(noisy, baseline, columns)) == {("all", "presence")}
    with pytest.raises(BenchError, match="empty"):
        gate.check(baseline, baseline.iloc[:0], columns)


def test_a_metric_with_a_new_definition_is_not_compared_in_silence(baseline: Rows, columns: dict) -> None:
    newer = _edited(baseline, (baseline["column"] == "stoi") & (baseline["codec"] == "mulaw@8"), metric_version="2")
    assert _failed(gate.check(newer, baseline, columns)) == {("mulaw@8", "stoi definition")}


def test_new_codecs_are_noted(baseline: Rows, columns: dict) -> None:
    result = gate.check(baseline, baseline[baseline["codec"] != "mulaw@8"], columns)
    assert result.passed and any(f.status == "note" and f.system == "mulaw@8" for f in result.findings)


def _with_noise(rows: Rows, column: str, shift: float, sd: float, seed: int) -> Rows:
    where = (rows["codec"] == "mulaw@5") & (rows["column"] == column)
    noise = np.random.default_rng(seed).normal(shift, sd, size=int(where.sum()))
    return _edited(rows, where, value=rows.loc[where, "value"].astype(float) + noise)


def test_few_noisy_utterances_cannot_tell_and_strict_says_no(baseline: Rows, columns: dict) -> None:
    blurred = _with_noise(baseline, "stoi", 0.0, 0.02, seed=4)
    result = gate.check(blurred, baseline, columns)
    line = next(finding for finding in result.findings if finding.status == "cannot tell")
    assert result.passed and line.check == "STOI" and "sees losses from 0.0" in line.detail
    assert not gate.check(blurred, baseline, columns, strict=True).passed
    assert gate.check(blurred, baseline, columns, margins={"stoi": 0.1}, strict=True).passed


def test_repeated_noisy_runs_rarely_fail_and_real_losses_always_do(baseline: Rows, columns: dict) -> None:
    mine = baseline[(baseline["codec"] == "mulaw@5") & baseline["column"].isin(["stoi", "codes"])]
    alarms = sum(not gate.check(_with_noise(mine, "stoi", 0.0, 0.004, s), mine, columns, draws=500).passed for s in range(20))
    seen = sum(not gate.check(_with_noise(mine, "stoi", -0.004, 0.004, s), mine, columns, draws=500).passed for s in range(4))
    assert alarms <= 1  # 5 % of 20
    assert seen == 4


def test_rounding_of_another_machine_passes(baseline: Rows, columns: dict) -> None:
    """Scores that moved in the seventh digit, all down: a shown loss, and no loss that anyone could see."""
    lower = baseline["column"].isin(["stoi", "si_sdr"])
    moved = _edited(baseline, lower, value=baseline.loc[lower, "value"].astype(float) - 1e-7)
    bare = {name: replace(column, margin=None) for name, column in columns.items()}
    assert gate.check(moved, baseline, columns).passed and gate.check(moved, baseline, bare).passed


def test_tables_are_readable(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    result = gate.check(rescore(_mulaw(13), version="2"), baseline, columns)
    first = result.table.splitlines()
    assert first[0].startswith("Gate FAILED") and "failed" in first[0]
    assert max(map(len, first)) <= 220
    assert result.markdown.startswith("## Gate FAILED") and "<details>" in result.markdown
    failing = [line for line in result.markdown.splitlines() if line.startswith("| FAIL")]
    assert len(failing) == len(result.failures)
