"""What a paired difference says: better, same, worse, or cannot tell.

Differences are oriented so that up is better, and judged against a margin, the smallest change that anyone would
argue about. With the one-sided 95 % bounds low and high of the difference:

  same         -margin <= low and high <= margin    (shown to be equivalent, even when it is not exactly 0)
  better       low > 0                              (a gain is shown)
  worse        high < 0                             (a loss is shown, and one beyond the margin is not excluded)
  cannot tell  otherwise                            (too few utterances for this margin)

`non_inferior` is low >= -margin. Where the utterances suffice for the margin (standard error up to margin / 3.29),
"not non-inferior" and "worse" coincide up to Monte Carlo error: low < -margin puts the estimate more than 1.645
standard errors below 0. Where they do not suffice, only a shown loss counts as worse, and the smallest visible
effect says how blind the comparison is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats import bootstrap
from bench.stats.power import smallest_visible
from bench.stats.resampling import DRAWS, SEED, Floats, Plan, Scheme, draw_sums, plan

Word = Literal["better", "same", "worse", "cannot tell"]


@dataclass(frozen=True)
class Verdict:
    """A paired difference B - A in the metric's own unit and direction, with its meaning.

    low, high: two-sided 95 % interval. p_worse, p_better: one-sided p-values of "B is not worse / not better".
    visible: smallest loss that would be shown with probability `power` at this n (same unit, positive).
    """

    word: Word
    non_inferior: bool
    difference: float
    low: float
    high: float
    se: float
    p_worse: float
    p_better: float
    margin: float
    visible: float
    n: int
    scheme: str
    draws: int


def one_sided_p(estimate: float, sample: Floats, df: int) -> tuple[float, float]:
    """p-values (of a loss, of a gain) of a difference where up is better, from bootstrap values [draws].

    The larger of two answers: the share of draws on the other side of 0, read as a normal quantile and looked up in
    Student's t with `df`, which agrees with the expanded interval; and Student's t of estimate over bootstrap standard
    error. The first follows skewed differences; the second keeps far tails honest, where a few speakers with two
    utterances each give draws that are lighter than normal, and is not stopped by the number of draws.
    """
    sample = sample[np.isfinite(sample)]
    if len(sample) == 0 or not np.isfinite(estimate):
        return float("nan"), float("nan")
    spread = float(np.std(sample))
    if spread <= 1e-12 * max(1.0, abs(estimate)):
        if abs(estimate) <= 1e-12:
            return 1.0, 1.0
        return (0.0, 1.0) if estimate < 0 else (1.0, 0.0)
    above, below = float(np.mean(sample >= 0)), float(np.mean(sample <= 0))
    return (
        float(tail_p(np.float64(above), np.float64(estimate / spread), df)),
        float(tail_p(np.float64(below), np.float64(-estimate / spread), df)),
    )


def tail_p(beyond: ArrayLike, z: ArrayLike, df: int) -> Floats:
    """One-sided p-values from the share of draws beyond 0 and the estimate in standard errors (any equal shapes)."""
    from scipy import special

    share = special.ndtri(np.asarray(beyond, dtype=np.float64))  # -inf for no draw beyond: then z decides
    return np.asarray(special.stdtr(max(df, 1), np.maximum(share, np.asarray(z, dtype=np.float64))))


def judge(
    estimate: float,
    sample: Floats,
    df: int,
    n: int,
    margin: float,
    higher_is_better: bool = True,
    alpha: float = 0.05,
    power: float = 0.8,
    scheme: str = "stratified",
) -> Verdict:
    """Verdict from an estimate of B - A and its bootstrap values [draws]."""
    sign = 1.0 if higher_is_better else -1.0
    low, high = bootstrap.bounds(estimate, sample, 1 - 2 * alpha, "expanded", df)
    full = bootstrap.bounds(estimate, sample, 1 - alpha, "expanded", df)
    up = (low, high) if higher_is_better else (-high, -low)
    p_worse, p_better = one_sided_p(sign * estimate, sign * sample, df)
    finite = sample[np.isfinite(sample)]
    se = float(np.std(finite)) if len(finite) else float("nan")
    word: Word
    if not np.isfinite(up[0]):
        word = "cannot tell"
    elif -margin <= up[0] and up[1] <= margin:
        word = "same"
    elif up[0] > 0:
        word = "better"
    elif up[1] < 0:
        word = "worse"
    else:
        word = "cannot tell"
    visible = smallest_visible(se, df, alpha, power)
    return Verdict(
        word, bool(up[0] >= -margin), estimate, full[0], full[1], se, p_worse, p_better, margin, visible, n, scheme, len(sample)
    )


def compare_paired(
    num_a: ArrayLike,
    num_b: ArrayLike,
    margin: float,
    higher_is_better: bool = True,
    den_a: ArrayLike | None = None,
    den_b: ArrayLike | None = None,
    speakers: Sequence[object] | NDArray[np.generic] | None = None,
    scheme: Scheme = "stratified",
    alpha: float = 0.05,
    power: float = 0.8,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Verdict:
    """Verdict on B against A over the same utterances in the same order; arrays [n] as in `bootstrap.paired`."""
    terms = bootstrap.terms((num_a, den_a), (num_b, den_b))
    return judge_terms(terms, plan(len(terms), speakers, scheme), margin, higher_is_better, alpha, power, draws, seed)


def judge_terms(
    terms: Floats,
    design: Plan,
    margin: float,
    higher_is_better: bool = True,
    alpha: float = 0.05,
    power: float = 0.8,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Verdict:
    """`compare_paired` of terms [n, 4]: numerator and denominator of A, then of B."""
    estimate = float(bootstrap.difference(terms.sum(axis=0))) if len(terms) else float("nan")
    identical = len(terms) > 0 and bool(np.array_equal(terms[:, :2], terms[:, 2:]))
    if design.units < 2 or identical:
        sample = np.zeros(1) if identical else np.full(1, np.nan)
    else:
        sample = bootstrap.difference(draw_sums(terms, design, draws, seed))
    return judge(estimate, sample, design.df, len(terms), margin, higher_is_better, alpha, power, design.scheme)
