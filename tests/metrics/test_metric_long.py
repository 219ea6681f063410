"""Long clips, and clips that came with a delay: typed failures before a package breaks, bounded memory, an aligned column."""

from __future__ import annotations

import numpy as np
import pytest

from bench.metrics import MetricFailure, Signal, find
from bench.metrics import stoi as plain
from bench.metrics.networks import moonshine
from bench.metrics.pesq import MAX_S, MAX_STRETCHES, pesq, stretches
from bench.metrics.stoi_aligned import aligned

RATE = 16_000


def bursts(count: int, seconds: float = 0.25, pause: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(0)
    one = np.r_[rng.normal(0, 0.2, round(seconds * RATE)), rng.normal(0, 1e-4, round(pause * RATE))]
    return np.tile(one, count).astype(np.float32)


@pytest.mark.parametrize("column", ["pesq_wb", "pesq_nb"])
def test_pesq_refuses_what_its_code_has_no_room_for(column: str, voice: np.ndarray) -> None:
    long = np.tile(voice, int(MAX_S // 2) + 1)
    for wave in (long, bursts(120), bursts(60)):
        score = find(column).score(Signal(wave, RATE), Signal(wave, RATE))[column]
        assert isinstance(score, MetricFailure) and score.kind == "too_long"
    assert pesq(bursts(10), bursts(10)) > 4.5


def test_stretches_are_counted() -> None:
    for count in (1, 7, 40, 60):
        assert abs(stretches(bursts(count)) - count) <= 1
    assert stretches(bursts(30, pause=0.1)) == 1, "short pauses are joined"
    assert MAX_STRETCHES < 50


def test_moonshine_reads_long_waves_in_windows(voice: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 125 * RATE).astype(np.float32)
    for second in (24, 49, 73, 98):
        wave[second * RATE : second * RATE + 4000] = 0
    pieces = moonshine.windows(wave)
    np.testing.assert_array_equal(np.concatenate(pieces), wave)
    assert len(pieces) == 5 and max(map(len, pieces)) <= 30 * RATE
    assert all(abs(piece[-1]) == 0 for piece in pieces[:-1]), "cut in the pauses"
    short = wave[: int(moonshine.WHOLE_S * RATE)]
    assert len(moonshine.windows(short)) == 1 and moonshine.windows(short)[0] is short


@pytest.mark.parametrize("samples", [0, 160, 992, -480])
def test_a_delay_is_taken_off(voice: np.ndarray, samples: int) -> None:
    ref = np.pad(voice, 2000)
    deg = np.roll(ref, samples)
    first, second = aligned(ref, deg)
    np.testing.assert_array_equal(first, second)
    metric = find("stoi_aligned")
    values = metric.score(Signal(ref, RATE), Signal(deg, RATE))
    assert values["stoi_aligned"] == pytest.approx(1.0) and values["estoi_aligned"] == pytest.approx(1.0)
    if samples == 0:
        assert values["stoi_aligned"] == plain.stoi(ref, deg)
    if samples == 992:
        assert plain.stoi(ref, deg) < 0.5


def test_no_delay_can_be_told_of_silence(voice: np.ndarray) -> None:
    values = find("stoi_aligned").score(Signal(voice, RATE), Signal(np.zeros_like(voice), RATE))
    assert {value.kind for value in values.values()} == {"undefined"}  # type: ignore[union-attr]
