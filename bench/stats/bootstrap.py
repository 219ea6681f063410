"""Bootstrap intervals of means, corpus ratios and their paired differences.

Every score of the harness is a ratio of sums over utterances: a corpus rate such as WER is
sum(edits) / sum(words), and a plain mean is the same with denominators of 1. A statistic is therefore
described by its terms, a float array [n, k] with one line per utterance, and by a function that turns the
k sums into one number. One set of resampling weights (bench.stats.resampling) then serves any number of statistics
at once, which keeps them paired: both systems of a difference see the same utterances in every draw
(Bisani and Ney, ICASSP 2004).

Methods: percentile, basic, bca (DiCiccio and Efron 1996) and expanded, the percentile interval at levels
widened from the normal to Student's t (Hesterberg, The American Statistician 2015), which keeps its promise for a
few dozen utterances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.resampling import DRAWS, SEED, Floats, Plan, Scheme, draw_sums, plan

Method = Literal["percentile", "basic", "bca", "expanded"]
Combine = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval. `n` counts utterances, `units` what was resampled (utterances or speakers)."""

    estimate: float
    low: float
    high: float
    se: float
    level: float
    n: int
    units: int
    df: int
    scheme: str
    method: str
    draws: int
    seed: int


def terms(*scores: tuple[ArrayLike, ArrayLike | None]) -> Floats:
    """(numerators [n], denominators [n] or None for ones) of each system -> terms [n, 2 x systems]. Raises ValueError where
    the systems differ in n."""
    columns: list[Floats] = []
    for num, den in scores:
        top = np.asarray(num, dtype=np.float64)
        columns += [top, np.ones_like(top) if den is None else np.asarray(den, dtype=np.float64)]
    if len({column.shape for column in columns}) > 1:
        raise ValueError("paired scores need the same utterances in the same order")
    return np.stack(columns, axis=1)


def ratio(sums: Floats) -> Floats:
    """Numerators [..., 0] over denominators [..., 1]; NaN where a draw holds nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)


def difference(sums: Floats) -> Floats:
    """Ratio of the second system (columns 2, 3) minus ratio of the first (columns 0, 1)."""
    return ratio(sums[..., 2:4]) - ratio(sums[..., 0:2])


@cache
def expanded_tail(tail: float, df: int) -> float:
    """Normal tail probability at Student's t quantile of `tail`: 0.025 -> 0.0192 at df 23."""
    from scipy import special  # scipy.stats would cost a second to import

    return float(special.ndtr(special.stdtrit(max(df, 1), tail)))


def bounds(
    estimate: float,
    sample: Floats,
    level: float,
    method: Method = "percentile",
    df: int | None = None,
    jackknife: Floats | None = None,
) -> tuple[float, float]:
    """Two-sided bounds at `level` from bootstrap values `sample` [draws].

    `df` is needed by expanded, `jackknife` (influence values, any scale) by bca. Without spread in the sample
    both bounds are the estimate.
    """
    sample = sample[np.isfinite(sample)]
    if not np.isfinite(estimate) or len(sample) == 0:
        return float("nan"), float("nan")
    # equal values leave rounding noise of the matrix product behind: that is no spread
    if np.ptp(sample) <= 1e-12 * max(1.0, abs(estimate)):
        return estimate, estimate
    tail = (1 - level) / 2
    if method == "percentile" or method == "basic":
        low, high = np.quantile(sample, [tail, 1 - tail])
        if method == "basic":
            low, high = 2 * estimate - high, 2 * estimate - low
    elif method == "expanded":
        if df is None:
            raise ValueError("the expanded interval needs degrees of freedom")
        tail = expanded_tail(tail, df)
        low, high = np.quantile(sample, [tail, 1 - tail])
    elif method == "bca":
        if jackknife is None:
            raise ValueError("the BCa interval needs jackknife values")
        from scipy import special

        centred = jackknife - jackknife.mean()
        cube, square = np.sum(centred**3), np.sum(centred**2)
        acceleration = cube / (6 * square**1.5) if square > 0 else 0.0
        below = (np.mean(sample < estimate) + np.mean(sample <= estimate)) / 2
        bias = special.ndtri(np.clip(below, 1 / len(sample), 1 - 1 / len(sample)))
        z = bias + special.ndtri([tail, 1 - tail])
        low, high = np.quantile(sample, special.ndtr(bias + z / (1 - acceleration * z)))
    else:
        raise ValueError(f"unknown interval method {method!r}: percentile, basic, bca or expanded")
    return float(low), float(high)


def statistic_interval(
    values: ArrayLike,
    combine: Combine,
    speakers: Sequence[object] | NDArray[np.generic] | None = None,
    scheme: Scheme = "utterance",
    method: Method = "percentile",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
    rescale: bool = True,
) -> Interval:
    """Interval of combine(sum of terms [n, k]); the general form behind `interval` and `paired`."""
    values = np.asarray(values, dtype=np.float64)
    return planned_interval(values, combine, plan(len(values), speakers, scheme), method, level, draws, seed, rescale)


def planned_interval(
    values: Floats,
    combine: Combine,
    design: Plan,
    method: Method = "percentile",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
    rescale: bool = True,
) -> Interval:
    """`statistic_interval` under a plan that is made already."""
    n = len(values)
    estimate = float(combine(values.sum(axis=0))) if n else float("nan")
    if design.units < 2:
        nan = float("nan")
        return Interval(estimate, nan, nan, nan, level, n, design.units, 0, design.scheme, method, draws, seed)
    sample = combine(draw_sums(values, design, draws, seed, rescale))
    jackknife = None
    if method == "bca":
        per_unit = design.sums(values)
        left_out = combine(per_unit.sum(axis=0) - per_unit)
        # between-stratum differences are not sampling error
        mean = np.bincount(design.stratum, left_out) / np.bincount(design.stratum)
        jackknife = mean[design.stratum] - left_out
    low, high = bounds(estimate, sample, level, method, design.df, jackknife)
    finite = sample[np.isfinite(sample)]
    spread = float(np.std(finite)) if len(finite) else float("nan")
    return Interval(estimate, low, high, spread, level, n, design.units, design.df, design.scheme, method, draws, seed)


def interval(
    num: ArrayLike,
    den: ArrayLike | None = None,
    speakers: Sequence[object] | NDArray[np.generic] | None = None,
    scheme: Scheme = "utterance",
    method: Method = "percentile",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
    rescale: bool = True,
) -> Interval:
    """Interval of sum(num) / sum(den); den None means the mean of num. num, den: [n]."""
    return statistic_interval(terms((num, den)), ratio, speakers, scheme, method, level, draws, seed, rescale)


def paired(
    num_a: ArrayLike,
    num_b: ArrayLike,
    den_a: ArrayLike | None = None,
    den_b: ArrayLike | None = None,
    speakers: Sequence[object] | NDArray[np.generic] | None = None,
    scheme: Scheme = "stratified",
    method: Method = "expanded",
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = SEED,
    rescale: bool = True,
) -> Interval:
    """Interval of B - A for two systems on the same utterances in the same order. All arrays [n].

    Both ratios are recomputed in every draw, as a corpus WER needs.
    """
    both = terms((num_a, den_a), (num_b, den_b))
    return statistic_interval(both, difference, speakers, scheme, method, level, draws, seed, rescale)
