"""Bootstrap intervals of means, corpus ratios and their paired differences.

Every score of the harness is a ratio of sums over utterances: a corpus rate such as WER is
sum(edits) / sum(words), and a plain mean is the same with denominators of 1. A statistic is therefore
described by its terms, a float array [n, k] with one line per utterance, and by a function that turns the
k sums into one number. One set of resampling weights then serves any number of statistics at once, which
keeps them paired: both systems of a difference see the same utterances in every draw
(Bisani and Ney, ICASSP 2004).

Three schemes, three claims:
  utterance   utterances are drawn from the whole set, speakers ignored (textbook)
  stratified  utterances are drawn within each speaker: "these speakers, other sentences"
  cluster     whole speakers are drawn: "other speakers"

By default each stratum of n units gives n - 1 draws with weight n / (n - 1) (Rao and Wu, JASA 1988), because the
textbook draw of n units shrinks the variance by (n - 1) / n: nothing at n = 300, but half of it with two
utterances per speaker. `rescale=False` gives the textbook draw.

Methods: percentile, basic, bca (DiCiccio and Efron 1996) and expanded, the percentile interval at levels
widened from the normal to Student's t (Hesterberg, The American Statistician 2015), which keeps its promise for a
few dozen utterances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scheme = Literal["utterance", "stratified", "cluster"]
Method = Literal["percentile", "basic", "bca", "expanded"]
Floats = NDArray[np.float64]
Combine = Callable[[Floats], Floats]

DRAWS = 10_000
SEED = 0
MOST_UNITS = 20_000
"""Beyond this many, units are put into GROUPS groups at random and the groups are drawn, so that the cost is bounded."""
GROUPS = 10_000
_BLOCK = 4_000_000  # weights held at once, 32 MB


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


@dataclass(frozen=True)
class Plan:
    """What is resampled: unit of each utterance [n], stratum of each unit [units]."""

    unit: NDArray[np.intp]
    stratum: NDArray[np.intp]
    scheme: Scheme
    grouped: bool = False

    @property
    def units(self) -> int:
        """How many units are drawn."""
        return len(self.stratum)

    @property
    def df(self) -> int:
        """Degrees of freedom of the variance estimate."""
        return self.units - len(np.unique(self.stratum))

    def sums(self, terms: Floats) -> Floats:
        """Terms per utterance [n, k] added up per unit [units, k]."""
        if self.scheme != "cluster" and not self.grouped:
            return terms
        out = np.zeros((self.units, terms.shape[1]))
        np.add.at(out, self.unit, terms)
        return out


def grouped(design: Plan, most: int = MOST_UNITS, groups: int = GROUPS) -> Plan:
    """`design`, or above `most` units one that draws random groups of its units, about `groups` of them, none across strata.

    The random group method of survey sampling (Wolter, Introduction to Variance Estimation, chapter 2): sums over random
    groups vary as sums over units do. The grouping is always the same, so that pairs stay pairs.
    """
    if design.units <= most:
        return design
    rng = np.random.default_rng(0)
    group = np.empty(design.units, dtype=np.intp)
    stratum: list[int] = []
    for name in np.unique(design.stratum):
        mine = np.flatnonzero(design.stratum == name)
        count = min(len(mine), max(2, round(groups * len(mine) / design.units)))
        group[rng.permutation(mine)] = len(stratum) + np.arange(len(mine)) % count
        stratum += [int(name)] * count
    return Plan(group[design.unit], np.array(stratum, dtype=np.intp), design.scheme, grouped=True)


def plan(n: int, speakers: Sequence[object] | NDArray[np.generic] | None, scheme: Scheme) -> Plan:
    """Resampling plan for n utterances with their speakers [n]; very many units are drawn in random groups."""
    return grouped(_plan(n, speakers, scheme))


def _plan(n: int, speakers: Sequence[object] | NDArray[np.generic] | None, scheme: Scheme) -> Plan:
    """Resampling plan for n utterances with their speakers [n].

    Speakers with one utterance cannot be resampled within themselves; they are pooled into one stratum
    (collapsed strata, as in survey sampling), so that they add variance instead of hiding it.
    """
    if scheme not in ("utterance", "stratified", "cluster"):
        raise ValueError(f"unknown resampling scheme {scheme!r}: utterance, stratified or cluster")
    everyone = np.arange(n)
    if scheme == "utterance" or speakers is None:
        return Plan(everyone, np.zeros(n, dtype=np.intp), "utterance")
    if len(speakers) != n:
        raise ValueError(f"{len(speakers)} speakers for {n} utterances")
    _, code = np.unique(np.asarray(speakers).astype(str), return_inverse=True)
    if scheme == "cluster":
        return Plan(code, np.zeros(code.max() + 1 if n else 0, dtype=np.intp), scheme)
    sizes = np.bincount(code)
    alone = sizes[code] == 1
    if alone.any():
        home = len(sizes)
        if alone.sum() == 1 and n > 1:  # one loner has nobody to pool with: it joins the smallest stratum
            home = int(code[~alone][np.argmin(sizes[code[~alone]])])
        code = np.where(alone, home, code)
        _, code = np.unique(code, return_inverse=True)
    return Plan(everyone, code.astype(np.intp), scheme)


def weights(design: Plan, draws: int, seed: int, rescale: bool = True) -> Iterator[Floats]:
    """Resampling weights in blocks [b, units]; the blocks together have `draws` lines."""
    units = design.units
    order = np.argsort(design.stratum, kind="stable")
    sizes = np.bincount(design.stratum)
    starts = np.cumsum(sizes) - sizes
    drawn = np.maximum(sizes - 1, 1) if rescale else sizes
    slot = np.repeat(np.arange(len(sizes)), drawn)
    start, size = starts[slot], sizes[slot]
    scale = np.repeat(sizes / drawn, sizes)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(units, 1))
    for first in range(0, draws, block):
        b = min(block, draws - first)
        picked = start + (rng.random((b, len(slot))) * size).astype(np.intp)
        picked += np.arange(b)[:, None] * units
        counts = np.bincount(picked.ravel(), minlength=b * units).reshape(b, units) * scale
        out = np.empty_like(counts)
        out[:, order] = counts
        yield out


def draw_sums(terms: Floats, design: Plan, draws: int = DRAWS, seed: int = SEED, rescale: bool = True) -> Floats:
    """Sums of the terms [n, k] in each draw: [draws, k]."""
    per_unit = design.sums(np.asarray(terms, dtype=np.float64))
    return np.concatenate([w @ per_unit for w in weights(design, draws, seed, rescale)])


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
    terms: ArrayLike,
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
    values = np.asarray(terms, dtype=np.float64)
    n = len(values)
    design = plan(n, speakers, scheme)
    estimate = float(combine(values.sum(axis=0))) if n else float("nan")
    if design.units < 2:
        nan = float("nan")
        return Interval(estimate, nan, nan, nan, level, n, design.units, 0, design.scheme, method, draws, seed)
    sample = combine(draw_sums(values, design, draws, seed, rescale))
    jackknife = None
    if method == "bca":
        per_unit = design.sums(values)
        left_out = combine(per_unit.sum(axis=0) - per_unit)
        for stratum in np.unique(design.stratum):  # between-stratum differences are not sampling error
            mine = design.stratum == stratum
            left_out[mine] -= left_out[mine].mean()
        jackknife = -left_out
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
    top = np.asarray(num, dtype=np.float64)
    bottom = np.ones_like(top) if den is None else np.asarray(den, dtype=np.float64)
    terms = np.stack([top, bottom], axis=1)
    return statistic_interval(terms, ratio, speakers, scheme, method, level, draws, seed, rescale)


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
    a, b = np.asarray(num_a, dtype=np.float64), np.asarray(num_b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired scores need the same utterances: {a.shape} against {b.shape}")
    below_a = np.ones_like(a) if den_a is None else np.asarray(den_a, dtype=np.float64)
    below_b = np.ones_like(b) if den_b is None else np.asarray(den_b, dtype=np.float64)
    terms = np.stack([a, below_a, b, below_b], axis=1)
    return statistic_interval(terms, difference, speakers, scheme, method, level, draws, seed, rescale)
