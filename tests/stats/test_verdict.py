"""Verdicts and power: what a difference means, and how small a one can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from simulation import simulate_gate

from bench.stats import compare_paired, smallest_visible, utterances_needed
from bench.stats.bootstrap import paired
from bench.stats.verdict import one_sided_p

SPEAKERS = np.repeat(np.arange(24), 5)
RNG = np.random.default_rng(0)
BASE = RNG.normal(3, 0.4, size=120)


def _noise(mean: float, sd: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=120)
    noise -= np.array([noise[s == SPEAKERS].mean() for s in SPEAKERS])  # the mean is exactly what is asked for
    return mean + sd * noise


@pytest.mark.parametrize(
    ("mean", "sd", "word", "non_inferior"),
    [
        (0.0, 0.02, "same", True),
        (-0.005, 0.01, "same", True),  # a shown loss, but a smaller one than anyone argues about
        (-0.1, 0.05, "worse", False),
        (0.1, 0.05, "better", True),
        (0.0, 0.5, "cannot tell", False),
        (-0.02, 0.5, "cannot tell", False),
    ],
)
def test_words(mean: float, sd: float, word: str, non_inferior: bool) -> None:
    found = compare_paired(BASE, BASE + _noise(mean, sd), margin=0.02, speakers=SPEAKERS)
    assert found.word == word
    assert found.non_inferior is non_inferior
    assert found.difference == pytest.approx(mean, abs=1e-9)


def test_direction_mirrors() -> None:
    d = _noise(-0.1, 0.05)
    up = compare_paired(BASE, BASE + d, 0.02, True, speakers=SPEAKERS)
    down = compare_paired(BASE, BASE - d, 0.02, False, speakers=SPEAKERS)
    assert (up.word, down.word) == ("worse", "worse")
    assert down.p_worse == pytest.approx(up.p_worse, rel=0.2)
    assert down.visible == pytest.approx(up.visible, rel=1e-6) and down.difference == pytest.approx(-up.difference)


def test_identical_scores_are_the_same_even_with_margin_zero() -> None:
    found = compare_paired(BASE, BASE.copy(), 0.0, speakers=SPEAKERS)
    assert found.word == "same" and found.low == found.high == 0.0 and found.p_worse == 1.0


def test_one_utterance_cannot_tell() -> None:
    assert compare_paired([1.0], [2.0], 0.1).word == "cannot tell"


def test_a_constant_loss_is_certain() -> None:
    found = compare_paired(BASE, BASE - 0.1, 0.02, speakers=SPEAKERS)
    assert found.word == "worse" and found.p_worse < 1e-9


def test_low_bound_agrees_with_the_one_sided_interval() -> None:
    b = BASE + _noise(-0.01, 0.1)
    found = compare_paired(BASE, b, 0.05, speakers=SPEAKERS)
    ninety = paired(BASE, b, speakers=SPEAKERS, level=0.9)
    assert found.non_inferior is (ninety.low >= -0.05)


@pytest.mark.parametrize("mean", [0.0, 0.2, 0.3])
def test_p_value_agrees_with_students_t(mean: float) -> None:
    from scipy import stats

    x = _noise(mean, 1.0)[:20]
    sample = np.random.default_rng(2).normal(x.mean(), x.std(ddof=1) / np.sqrt(20), size=200_000)
    worse, better = one_sided_p(float(x.mean()), sample, 19)
    t = stats.ttest_1samp(x, 0, alternative="less").pvalue
    assert worse == pytest.approx(t, abs=0.01)
    assert better == pytest.approx(1 - t, abs=0.01)


def test_published_sample_sizes() -> None:
    # the worked example of the evaluation notes: sd of UTMOS differences 0.12 and 0.25, margin 0.02, power 0.9
    assert utterances_needed(0.12, 0.02) == 309
    assert utterances_needed(0.25, 0.02) == 1339
    with pytest.raises(ValueError, match="positive"):
        utterances_needed(0.1, 0.0)


def test_smallest_visible_inverts_the_sample_size() -> None:
    n = utterances_needed(0.12, 0.02, power=0.8)
    assert smallest_visible(0.12 / np.sqrt(n), power=0.8) == pytest.approx(0.02, rel=0.01)
    assert smallest_visible(0.01, 10) > smallest_visible(0.01, 1000) > smallest_visible(0.01)


def test_visible_effect_is_seen_as_often_as_promised() -> None:
    design = {"sd": [0.1], "margin": [0.0], "speakers": 24, "per_speaker": 5, "trials": 1000, "draws": 1000}
    se = 0.1 / np.sqrt(120)
    seen = simulate_gate([-smallest_visible(se, 96, power=0.8)], **design).blocked
    assert seen == pytest.approx(0.8, abs=0.05)
