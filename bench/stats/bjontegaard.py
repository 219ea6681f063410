"""Bjøntegaard's delta rate: how many bits more one codec needs than another for the same quality (VCEG-M33, 2001).

The logarithm of the rate is interpolated over the quality, and the two curves' mean distance over the quality that both reach
is the delta: BD-rate = 10 ** mean(log10 R_test - log10 R_anchor) - 1. The interpolation is the piecewise cubic one of Hermite's
kind (PCHIP), as in the reference software of JVET: it follows the points of a codec where Bjøntegaard's one cubic swings.
-0.25 means a quarter fewer bits. Curves that do not rise with the rate, or share no quality, have no delta.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.resampling import Floats


class NoDelta(ValueError):
    """Two curves between which no delta is defined; the text says why."""


def bd_rate(anchor_rate: ArrayLike, anchor_quality: ArrayLike, test_rate: ArrayLike, test_quality: ArrayLike) -> float:
    """Mean relative difference of rate at equal quality. Rates > 0 [m], [n]; qualities the higher the better. Raises NoDelta."""
    from scipy.interpolate import PchipInterpolator

    curves = [_curve(anchor_rate, anchor_quality), _curve(test_rate, test_quality)]
    low = max(quality[0] for _, quality in curves)
    high = min(quality[-1] for _, quality in curves)
    if not low < high:
        raise NoDelta("no quality is reached by both")
    areas = [float(PchipInterpolator(quality, rate).integrate(low, high)) for rate, quality in curves]
    return float(10 ** ((areas[1] - areas[0]) / (high - low)) - 1)


def _curve(rate: ArrayLike, quality: ArrayLike) -> tuple[Floats, Floats]:
    """log10 of the rates and the qualities, by rate. Raises NoDelta."""
    rates, qualities = np.asarray(rate, np.float64), np.asarray(quality, np.float64)
    if len(rates) < 2:
        raise NoDelta("a curve needs two operating points")
    if not (np.isfinite(rates).all() and np.isfinite(qualities).all() and (rates > 0).all()):
        raise NoDelta("a point has no rate or no score")
    order = np.argsort(rates)
    if not (np.diff(qualities[order]) > 0).all():
        raise NoDelta("the score does not rise with the rate")
    return np.log10(rates[order]), qualities[order]


def pareto(rates: Sequence[float], qualities: ArrayLike) -> NDArray[np.bool_]:
    """Which points [..., n] no other beats: none has a rate as low and a quality as high, one of them better. qualities
    [..., n]: the higher the better."""
    rate, quality = np.asarray(rates, np.float64), np.asarray(qualities, np.float64)
    cheaper, better = rate[None, :] <= rate[:, None], quality[..., None, :] >= quality[..., :, None]
    strict = (rate[None, :] < rate[:, None]) | (quality[..., None, :] > quality[..., :, None])
    front: NDArray[np.bool_] = ~(cheaper & better & strict).any(axis=-1)  # type: ignore[assignment]
    return front
