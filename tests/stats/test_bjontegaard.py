"""BD-rate and Pareto fronts against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats.bjontegaard import NoDelta, bd_rate, pareto

RATES, QUALITIES = [1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.25, 2.0])
def test_a_curve_of_scaled_rates_is_off_by_that_factor(factor: float) -> None:
    rates, qualities = [0.7, 1.3, 4.0, 9.0], [1.0, 2.5, 3.1, 3.9]
    assert bd_rate(rates, qualities, [factor * r for r in rates], qualities) == pytest.approx(factor - 1)


def test_against_the_value_by_hand() -> None:
    # log10 R = log10(2) (D - 1) against log10 R = log10(4) (D - 1) / 1.5, both straight; from D = 1 to 2.5 the mean distance is
    # log10(2) (2 / 1.5 - 1) 0.75 = log10(2) / 4, so the rate is 2 ** 0.25 as high.
    assert bd_rate(RATES, QUALITIES, [1.0, 4.0], [1.0, 2.5]) == pytest.approx(2**0.25 - 1)


def test_only_the_quality_that_both_reach_counts() -> None:
    assert bd_rate(RATES, QUALITIES, [6.0, 12.0, 24.0], [3.0, 4.0, 5.0]) == pytest.approx(0.5)


def test_against_the_other_way_round() -> None:
    there = bd_rate(RATES, QUALITIES, [1.0, 3.0, 9.0], [1.2, 2.0, 3.7])
    back = bd_rate([1.0, 3.0, 9.0], [1.2, 2.0, 3.7], RATES, QUALITIES)
    assert (1 + there) * (1 + back) == pytest.approx(1)


def test_order_of_points_does_not_matter() -> None:
    assert bd_rate(RATES[::-1], QUALITIES[::-1], [3.0, 1.0], [3.5, 1.5]) == bd_rate(RATES, QUALITIES, [1.0, 3.0], [1.5, 3.5])


@pytest.mark.parametrize(
    ("rates", "qualities", "why"),
    [
        ([1.0], [1.0], "two operating points"),
        ([1.0, 2.0], [2.0, 1.5], "does not rise"),
        ([1.0, 2.0], [5.0, 6.0], "no quality"),
        ([1.0, 2.0], [1.0, float("nan")], "no score"),
        ([0.0, 2.0], [1.0, 2.0], "no rate"),
    ],
)
def test_what_has_no_delta(rates: list[float], qualities: list[float], why: str) -> None:
    with pytest.raises(NoDelta, match=why):
        bd_rate(RATES, QUALITIES, rates, qualities)


def test_pareto_front() -> None:
    assert pareto([1, 2, 3, 3, 4], [1.0, 3.0, 2.0, 3.5, 3.5]).tolist() == [True, True, False, True, False]
    assert pareto([1, 1], [2.0, 2.0]).tolist() == [True, True]
    draws = pareto([1, 2], np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert draws.tolist() == [[True, True], [True, False]]
