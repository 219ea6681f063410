"""Comparison of pitch tracks, whatever extractor made them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import MetricFailure, Value
from bench.metrics._common import value

Track = NDArray[np.float64]
"""F0 in Hz per frame [N], 0 where unvoiced."""


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson correlation of two series [N]. Raises MetricFailure: unvoiced (N < 2), constant."""
    if a.size < 2:
        raise MetricFailure("unvoiced", "fewer than 2 frames voiced in both signals")
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norm == 0.0:
        raise MetricFailure("constant", "a track does not vary")
    return float(np.clip((a @ b) / norm, -1.0, 1.0))


def all_frames(ref: Track, deg: Track) -> float:
    """Correlation over all frames, unvoiced ones as 0 Hz. Raises MetricFailure."""
    return correlation(*_cut(ref, deg))


def both_voiced(ref: Track, deg: Track) -> dict[str, Value]:
    """pcc, rmse in Hz, rmse in cents, gpe over frames voiced in both, and vuv over all frames, of two tracks [N]."""
    ref, deg = _cut(ref, deg)
    voiced = (ref > 0) & (deg > 0)
    a, b = ref[voiced], deg[voiced]
    scores: dict[str, Value] = {"vuv": float(np.mean((ref > 0) != (deg > 0)))}
    if a.size == 0:
        missing = MetricFailure("unvoiced", "no frame is voiced in both signals")
        return scores | dict.fromkeys(("pcc", "rmse", "cents", "gpe"), missing)
    return scores | {
        "pcc": value(lambda: correlation(a, b)),
        "rmse": _rms(b - a),
        "cents": _rms(1200.0 * np.log2(b / a)),
        "gpe": float(np.mean(np.abs(b / a - 1.0) > 0.2)),
    }


def _rms(x: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _cut(ref: Track, deg: Track) -> tuple[Track, Track]:
    size = min(ref.size, deg.size)
    return ref[:size], deg[:size]
