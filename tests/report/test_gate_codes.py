"""The gate across machines: codes that differ by rounding are told apart from real change; levels have a margin."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bench.coding.codes import Codes, Packets, Tokens, Vector
from bench.fingerprint import equal_frames, fingerprint
from bench.report import gate
from bench.report.checks import LEVEL_MARGIN_DB

Rows = pd.DataFrame
INTEL, AMD = "GenuineIntel-avx512f", "AuthenticAMD-avx2"


def mulaw_with(steps: float) -> Callable[[np.ndarray], np.ndarray]:
    """Mu-law with 2 * steps + 1 levels."""

    def decode(x: np.ndarray) -> np.ndarray:
        squeezed = np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)
        level = np.round(squeezed * steps) / steps
        return (np.sign(level) * np.expm1(np.abs(level) * np.log(256)) / 255).astype(np.float32)

    return decode


def sent(rows: Rows, flipped: float, cpu: str, seed: int = 0) -> Rows:
    """Rows whose codes have 500 frames each, of which a share is not what the seed-less ones have, on a kind of CPU."""
    rng = np.random.default_rng(seed)
    details = rows["detail"].astype(object).where(rows["column"] != "codes")
    for place in np.flatnonzero(rows["column"] == "codes"):
        name = f"{rows['codec'].iloc[place]}{rows['utterance'].iloc[place]}"
        frames = np.random.default_rng(zlib.crc32(name.encode())).integers(0, 1024, (500, 1))
        which = rng.random(500) < flipped
        frames[which] = (frames[which] + 1) % 1024
        codes = Codes((Tokens("tokens", 50, (1024,), frames),), 160000, 16000)
        details.iloc[place] = f"{codes.sha256} {cpu} {fingerprint(codes)}"
    return rows.assign(detail=details.astype("string").astype("category"))


def statuses(result: gate.GateResult, check: str) -> set[str]:
    return {finding.status for finding in result.findings if finding.check == check}


def test_a_flipped_code_now_and_then_on_another_cpu_is_rounding(baseline: Rows, columns: dict) -> None:
    result = gate.check(sent(baseline, 0.01, INTEL), sent(baseline, 0.0, AMD), columns)
    assert result.passed and statuses(result, "codes") == {"note"}
    assert "99." in result.table and "rounding" in result.table


def test_the_same_flips_on_the_same_cpu_are_a_change(baseline: Rows, columns: dict) -> None:
    result = gate.check(sent(baseline, 0.01, AMD), sent(baseline, 0.0, AMD), columns)
    assert not result.passed and statuses(result, "codes") == {"FAIL"} and "unchanged" in result.table


def test_most_codes_changed_is_no_rounding(baseline: Rows, columns: dict) -> None:
    result = gate.check(sent(baseline, 0.5, INTEL), sent(baseline, 0.0, AMD), columns)
    assert not result.passed and statuses(result, "codes") == {"FAIL"} and "more than rounding" in result.table


def test_few_codes_changed_but_worse_scores_are_no_rounding(baseline: Rows, rescore: Callable[..., Rows], columns: dict) -> None:
    worse = sent(rescore(mulaw_with(14.2)), 0.01, INTEL)
    result = gate.check(worse, sent(baseline, 0.0, AMD), columns)
    failed = {(finding.system, finding.check) for finding in result.failures}
    assert ("mulaw@5", "codes") in failed and ("mulaw@5", "SI-SDR") in failed


@pytest.mark.parametrize(("db", "passes"), [(-1.0, False), (1.0, False), (-0.3, True)])
def test_a_change_of_level_fails_beyond_the_margin(
    baseline: Rows, rescore: Callable[..., Rows], columns: dict, db: float, passes: bool
) -> None:
    decode = mulaw_with(15)
    louder = rescore(lambda x: (decode(x) * 10 ** (db / 20)).astype(np.float32), version="2")
    result = gate.check(louder, baseline, columns)
    assert (("mulaw@5", "level dB") not in {(f.system, f.check) for f in result.failures}) is passes
    assert (abs(db) <= LEVEL_MARGIN_DB) is passes


def test_fingerprints_count_frames_of_every_kind() -> None:
    def codes(flip: int) -> Codes:
        frames = np.arange(50)[:, None] % 16
        frames[:flip] += 1
        packets = tuple(bytes([n, n]) for n in range(10))
        parts = (Tokens("t", 50, (17,), frames), Packets("p", 10, packets), Vector("v", np.ones(4, np.float32) * (1 + flip)))
        return Codes(parts, 16000, 16000)

    assert equal_frames(fingerprint(codes(0)), fingerprint(codes(0))) == (64, 64)
    assert equal_frames(fingerprint(codes(0)), fingerprint(codes(3))) == (57, 64)
