"""How small a change can be seen: standard error to visible effect, effect to number of utterances, and simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats import bootstrap
from bench.stats.multiple import holm


def smallest_visible(se: float, df: float = math.inf, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true loss that a one-sided test at `alpha` shows with probability `power`: (t_alpha + t_power) se.

    se: standard error of the paired difference. The result has its unit.
    """
    from scipy import stats

    if not math.isfinite(se):
        return float("nan")
    if math.isinf(df):
        return float((stats.norm.isf(alpha) + stats.norm.isf(1 - power)) * se)
    return float((stats.t.isf(alpha, max(df, 1)) + stats.t.isf(1 - power, max(df, 1))) * se)


def utterances_needed(sd: float, margin: float, alpha: float = 0.05, power: float = 0.9) -> int:
    """Utterances for a one-sided test of `margin`: (z_alpha + z_power)^2 sd^2 / margin^2; sd of paired differences."""
    from scipy import stats

    if margin <= 0 or sd < 0:
        raise ValueError("the margin must be positive and the standard deviation not negative")
    return math.ceil((stats.norm.isf(alpha) + stats.norm.isf(1 - power)) ** 2 * (sd / margin) ** 2)


@dataclass(frozen=True)
class GateRates:
    """Share of simulated comparisons that the gate blocked, and that it could not decide."""

    blocked: float
    undecided: float
    trials: int


def simulate_gate(
    shift: Sequence[float], sd: Sequence[float], margin: Sequence[float], speakers: int, per_speaker: int,
    speaker_sd: float = 0.0, correlation: float = 0.0, trials: int = 1000, draws: int = 1000, alpha: float = 0.05,
    seed: int = 0, noise: NDArray[np.float64] | None = None,
) -> GateRates:
    """How often the gate's rule blocks when the paired differences of m metrics are drawn with true mean `shift`.

    shift, sd, margin: [m], oriented so that up is better. Differences are normal, or drawn from `noise` (centred
    and scaled to sd 1, to try real shapes). speaker_sd: spread of fixed speaker effects in units of sd; they sum to
    0, since the gate's claim is about these speakers. correlation: between the metrics of one utterance.
    The rule is the gate's own (`bench.stats.verdict.judge`): stratified rescaled bootstrap, expanded bounds, Holm
    over the metrics, and a loss beyond the margin not excluded. All trials share the draws, which changes no rate
    and makes 1000 trials a few matrix products.
    """
    from scipy import stats

    rng = np.random.default_rng(seed)
    m, n = len(shift), speakers * per_speaker
    design = bootstrap.plan(n, np.repeat(np.arange(speakers), per_speaker), "stratified")
    base = np.concatenate(list(bootstrap.weights(design, draws, seed + 1)))
    effects = rng.standard_normal((speakers, m)) * speaker_sd
    fixed = np.repeat(effects - effects.mean(axis=0), per_speaker, axis=0)
    tail = bootstrap.expanded_tail(alpha, design.df)
    blocked = undecided = 0
    chunk = 200
    for first in range(0, trials, chunk):
        t = min(chunk, trials - first)
        shared = _noise(rng, (n, t, 1), noise)
        own = _noise(rng, (n, t, m), noise)
        d = fixed[:, None, :] + math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        d = d * np.asarray(sd) + np.asarray(shift)
        sample = (base @ d.reshape(n, t * m) / base.sum(axis=1, keepdims=True)).reshape(draws, t, m)
        low, high = np.quantile(sample, [tail, 1 - tail], axis=0)
        estimate, se = d.mean(axis=0), sample.std(axis=0)
        share = (sample >= 0).mean(axis=0)
        z = np.where(share > 0, stats.norm.ppf(np.clip(share, 1e-300, 1)),
                     np.minimum(stats.norm.ppf(0.5 / draws), estimate / se))
        p = stats.t.cdf(z, design.df)
        adjusted = np.array([holm(line) for line in p])
        beyond = low < -np.asarray(margin)
        blocked += int(np.any((adjusted <= alpha) & beyond, axis=1).sum())
        undecided += int(np.any(beyond & (high >= 0), axis=1).sum())
    return GateRates(blocked / trials, undecided / trials, trials)


def _noise(
    rng: np.random.Generator, shape: tuple[int, ...], shape_of: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if shape_of is None:
        return rng.standard_normal(shape)
    return rng.choice((shape_of - shape_of.mean()) / shape_of.std(), size=shape)
