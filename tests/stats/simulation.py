"""The gate's own rule on simulated differences: how often it raises a false alarm, how often it sees a real loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats import bootstrap, resampling
from bench.stats.multiple import holm
from bench.stats.verdict import tail_p


@dataclass(frozen=True)
class GateRates:
    """Share of simulated comparisons that the gate blocked, and that it could not decide."""

    blocked: float
    undecided: float
    trials: int


def simulate_gate(
    shift: Sequence[float],
    sd: Sequence[float],
    margin: Sequence[float],
    speakers: int,
    per_speaker: int,
    speaker_sd: float = 0.0,
    correlation: float = 0.0,
    trials: int = 1000,
    draws: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
    noise: NDArray[np.float64] | None = None,
) -> GateRates:
    """How often the gate's rule blocks when the paired differences of m metrics are drawn with true mean `shift`.

    shift, sd, margin: [m], oriented so that up is better. Differences are normal, or drawn from `noise` (centred
    and scaled to sd 1, to try real shapes). speaker_sd: spread of fixed speaker effects in units of sd; they sum to
    0, since the gate's claim is about these speakers. correlation: between the metrics of one utterance.
    The rule is the gate's own (`bench.stats.verdict.judge`): stratified rescaled bootstrap, expanded bounds, Holm
    over the metrics, and a loss beyond the margin not excluded. All trials share the draws, which changes no rate
    and makes 1000 trials a few matrix products.
    """
    rng = np.random.default_rng(seed)
    m, n = len(shift), speakers * per_speaker
    design = resampling.plan(n, np.repeat(np.arange(speakers), per_speaker), "stratified")
    base = np.concatenate(list(resampling.weights(design, draws, seed + 1)))
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
        p = tail_p((sample >= 0).mean(axis=0), estimate / se, design.df)
        adjusted = np.array([holm(line) for line in p])
        beyond = low < -np.asarray(margin)
        blocked += int(np.any((adjusted <= alpha) & beyond, axis=1).sum())
        undecided += int(np.any(beyond & (high >= 0), axis=1).sum())
    return GateRates(blocked / trials, undecided / trials, trials)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], shape_of: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if shape_of is None:
        return rng.standard_normal(shape)
    return rng.choice((shape_of - shape_of.mean()) / shape_of.std(), size=shape)
