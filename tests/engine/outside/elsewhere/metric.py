"""Crest factor: how much the ratio of peak to RMS changes, dB; and the level, a fact."""

from __future__ import annotations

import numpy as np

from bench.metrics import Column, Metric, Signal, Value


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) + 1e-12


def _crest(wave: np.ndarray) -> float:
    return 20 * float(np.log10(float(np.abs(wave).max()) / _rms(wave) + 1e-12))


def score(ref: Signal, deg: Signal) -> dict[str, Value]:
    """Both columns of one pair, waves [T] at 16 kHz."""
    level = 20 * float(np.log10(_rms(deg.wave)))
    return {"crest_error": abs(_crest(deg.wave) - _crest(ref.wave)), "rms_level": level}


METRIC = Metric(
    "crest", (Column("crest_error", "crest", "dB", "lower", 0.0), Column("rms_level", "RMS level", "dB", role="fact")), score
)
