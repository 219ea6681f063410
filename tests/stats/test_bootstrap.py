"""Intervals: the reference values, and the laws that any honest bootstrap obeys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.stats import bootstrap, resampling
from bench.stats.bootstrap import interval, paired

GOLDEN = (
    ("utt_percentile", "utterance", "percentile"),
    ("utt_basic", "utterance", "basic"),
    ("utt_BCa", "utterance", "bca"),
    ("speaker_cluster_percentile", "cluster", "percentile"),
    ("stratified_by_speaker_percentile", "stratified", "percentile"),
)


@pytest.fixture(scope="module")
def golden(reference: Path) -> dict:
    folder = reference / "metrics"
    arrays = {name: np.load(folder / f"boot_{name}.npy") for name in ("a", "b", "spk")}
    return arrays | {"expected": json.loads((folder / "expected_bootstrap.json").read_text())}


@pytest.mark.parametrize(("key", "scheme", "method"), GOLDEN)
@pytest.mark.parametrize("rescale", [False, True])
def test_reference_intervals(golden: dict, key: str, scheme: str, method: str, rescale: bool) -> None:
    found = paired(golden["a"], golden["b"], speakers=golden["spk"], scheme=scheme, method=method, rescale=rescale)
    assert found.estimate == pytest.approx(golden["expected"]["mean_diff"], abs=1e-12)
    assert [found.low, found.high] == pytest.approx(golden["expected"][key], abs=0.002)
    assert found.draws == 10_000 and found.n == 300


def test_cluster_is_wider_where_speakers_differ(golden: dict) -> None:
    found = {
        scheme: paired(golden["a"], golden["b"], speakers=golden["spk"], scheme=scheme) for scheme in ("stratified", "cluster")
    }
    assert found["cluster"].se > 1.8 * found["stratified"].se


def test_same_seed_same_interval_other_seed_other_interval() -> None:
    x = np.random.default_rng(0).normal(size=50)
    assert interval(x, seed=3) == interval(x, seed=3)
    assert interval(x, seed=3).low != interval(x, seed=4).low


def test_corpus_ratio_equals_resampling_utterances_one_by_one() -> None:
    rng = np.random.default_rng(1)
    words = rng.integers(3, 30, size=60).astype(float)
    edits = rng.binomial(words.astype(int), 0.2).astype(float)
    found = interval(edits, words, draws=4000, rescale=False)
    slow = []
    for _ in range(4000):
        pick = rng.integers(0, 60, size=60)
        slow.append(edits[pick].sum() / words[pick].sum())
    assert found.estimate == edits.sum() / words.sum()
    assert found.estimate != pytest.approx(np.mean(edits / words), abs=1e-6)
    assert [found.low, found.high] == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.004)


def test_paired_ratio_keeps_both_systems_in_one_draw() -> None:
    rng = np.random.default_rng(2)
    words = rng.integers(5, 20, size=80).astype(float)
    hard = rng.random(80) ** 2
    a, b = words * hard, words * (hard + 0.01)  # one percent more errors on every utterance, hard or easy
    found = paired(a, b, words, words, scheme="utterance")
    assert found.low == pytest.approx(0.01, abs=1e-9) and found.high == pytest.approx(0.01, abs=1e-9)
    assert np.ptp([(alone := interval(a, words)).low, alone.high]) > 0.05


@pytest.mark.parametrize("per_speaker", [2, 3, 10])
def test_stratified_variance_is_not_shrunk_by_few_utterances(per_speaker: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=40 * per_speaker)
    speakers = np.repeat(np.arange(40), per_speaker)
    within = np.mean([x[speakers == s].var(ddof=1) for s in range(40)])
    expected = np.sqrt(within / len(x))
    assert interval(x, speakers=speakers, scheme="stratified").se == pytest.approx(expected, rel=0.03)
    textbook = interval(x, speakers=speakers, scheme="stratified", rescale=False).se
    assert textbook == pytest.approx(expected * np.sqrt(1 - 1 / per_speaker), rel=0.03)


def test_stratified_ignores_what_only_separates_speakers() -> None:
    rng = np.random.default_rng(4)
    speakers = np.repeat(np.arange(20), 5)
    x = rng.normal(size=100)
    shifted = x + 100 * speakers
    a, b = (interval(v, speakers=speakers, scheme="stratified") for v in (x, shifted))
    assert b.high - b.low == pytest.approx(a.high - a.low, rel=1e-6)


def test_speakers_with_one_utterance_still_vary() -> None:
    x = np.random.default_rng(5).normal(size=24)
    alone = interval(x, speakers=np.arange(24), scheme="stratified", method="percentile")
    assert alone.se == pytest.approx(x.std(ddof=1) / np.sqrt(24), rel=0.05)
    mixed = np.r_[np.repeat(np.arange(4), 5), 99, 98, 97, 96]
    assert interval(x, speakers=mixed, scheme="stratified").df == 24 - 5
    one_loner = np.r_[np.repeat(np.arange(4), 5), 9, 9, 9, 99]
    assert interval(x, speakers=one_loner, scheme="stratified").df == 24 - 5


def test_order_of_utterances_does_not_matter_for_the_spread() -> None:
    rng = np.random.default_rng(6)
    x, speakers = rng.normal(size=90), np.repeat(np.arange(9), 10)
    mix = rng.permutation(90)
    a = interval(x, speakers=speakers, scheme="stratified")
    b = interval(x[mix], speakers=speakers[mix], scheme="stratified")
    assert b.estimate == pytest.approx(a.estimate) and b.se == pytest.approx(a.se, rel=0.04)


def test_expanded_covers_where_the_textbook_percentile_falls_short() -> None:
    rng = np.random.default_rng(7)
    hits = {"percentile": 0, "expanded": 0}
    for _ in range(800):
        x = rng.normal(size=12)
        for method in hits:
            found = interval(x, method=method, draws=1000, rescale=method == "expanded")
            hits[method] += found.low <= 0 <= found.high
    assert hits["percentile"] / 800 < 0.925
    assert 0.93 <= hits["expanded"] / 800 <= 0.97


def test_bca_leans_towards_the_long_tail_of_a_skewed_ratio() -> None:
    rng = np.random.default_rng(8)
    words = np.full(60, 10.0)
    edits = rng.exponential(1, size=60) ** 2
    plain, bca = (interval(edits, words, method=m) for m in ("percentile", "bca"))
    assert bca.low > plain.low and bca.high > plain.high


def test_constants_and_single_utterances() -> None:
    flat = interval(np.full(30, 0.123))
    assert flat.low == flat.high == pytest.approx(0.123)
    one = interval([1.0])
    assert one.estimate == 1.0 and np.isnan(one.low) and np.isnan(one.high)
    none = interval([0.0, 0.0], [0.0, 0.0])
    assert np.isnan(none.estimate)


def test_weights_add_up() -> None:
    design = resampling.plan(12, [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3], "stratified")
    drawn = np.concatenate(list(resampling.weights(design, 50, 0)))
    for stratum in range(4):
        mine = design.stratum == stratum
        assert np.allclose(drawn[:, mine].sum(axis=1), mine.sum())


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="same utterances"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="unknown resampling scheme"):
        interval([1.0, 2.0], scheme="speaker")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="speakers for"):
        interval([1.0, 2.0], speakers=["a"], scheme="cluster")


def test_random_groups_give_the_same_interval_at_a_bounded_cost() -> None:
    """Above the limit groups are drawn: the standard error is the textbook's, strata are never crossed, pairs stay pairs."""
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 1.0, 60_000)
    found = bootstrap.interval(values, draws=1000)
    assert found.units == resampling.GROUPS and found.se == pytest.approx(1 / np.sqrt(60_000), rel=0.08)
    speakers = np.repeat(["a", "b", "c"], [10_000, 20_000, 30_000])
    design = resampling.plan(60_000, speakers, "stratified")
    assert design.units <= resampling.GROUPS + 3
    assert all(len(set(speakers[design.unit == unit])) == 1 for unit in range(0, design.units, 997))
    np.testing.assert_allclose(design.sums(values[:, None]).sum(), values.sum())
    same = bootstrap.paired(values, values + 1.0, speakers=speakers, draws=200)
    assert same.low == pytest.approx(1.0) and same.high == pytest.approx(1.0)
