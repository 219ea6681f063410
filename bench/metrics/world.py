"""WORLD analysis: mel-cepstral distortion, and errors of the pitch track it rests on.

Definitions. One DIO + StoneMask pitch track (71 to 800 Hz) every 5 ms serves all columns; tracks are cut to the
shorter
one, no time alignment.
mcd: CheapTrick spectral envelopes; mel-cepstra of order 24 by frequency warping with alpha 0.42 (16 kHz);
10 / ln 10 * mean over frames of sqrt(2 sum_{d=1..24} (c_d - c'_d)^2) in dB, c0 left out, frame by frame.
f0_rmse, f0_rmse_cents, gpe, f0_pcc_voiced: root mean square error in Hz and in cents, share of frames off by more
than
20 %, and Pearson correlation in Hz, all over frames voiced in both. vuv_error: share of frames whose voicing differs.
Reference: Kubichek, "Mel-cepstral distance measure for objective speech quality assessment", PACRIM 1993; Morise,
"CheapTrick", 2015; warping by Oppenheim's recursion as in SPTK. Definitions of the mel-cepstrum differ by several dB
between tools: compare mcd with itself only.
Range: errors from 0, LOWER is better; correlation -1 to 1. Rate: 16 kHz. Level: invariant (c0 is left out).
Length: equal lengths expected, frames are cut to the shorter. Failures: silence, too_short, unvoiced, constant.
The analysis of a signal is computed once and cached; aperiodicity, which no column needs, is not computed. Version 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, Value
from bench.metrics._tracks import Track, both_voiced
from bench.metrics.f0 import dio, world
from bench.metrics.shapes import of_analyses

RATE_HZ = 16_000
ORDER = 24
ALPHA = 0.42
HOP_MS = 5.0


def mcd(ref: NDArray[Any], deg: NDArray[Any]) -> float:
    """Mel-cepstral distortion in dB of `deg` [T'] from `ref` [T], both at 16 kHz. Raises MetricFailure."""
    return distance(mel_cepstra(ref), mel_cepstra(deg))


def distance(ref: NDArray[Any], deg: NDArray[Any]) -> float:
    """Mean distance in dB of mel-cepstra `deg` [N', 25] from `ref` [N, 25], c0 left out."""
    size = min(len(ref), len(deg))
    gap = np.asarray(ref[:size, 1:], np.float64) - np.asarray(deg[:size, 1:], np.float64)
    return float(10.0 / np.log(10.0) * np.sqrt(2.0) * np.mean(np.linalg.norm(gap, axis=1)))


def mel_cepstra(wave: NDArray[Any]) -> NDArray[np.float32]:
    """Mel-cepstra float32 [N, 25] of `wave` [T] at 16 kHz, one frame every 5 ms. Raises MetricFailure."""
    return _cepstra(wave, dio(wave, HOP_MS))


def _cepstra(wave: NDArray[Any], f0: Track) -> NDArray[np.float32]:
    samples = np.asarray(wave, np.float64)
    envelope = world().cheaptrick(samples, f0, np.arange(f0.size) * (HOP_MS / 1000.0), RATE_HZ)
    return (np.log(envelope) @ _transform(envelope.shape[1])).astype(np.float32)


@cache
def _transform(bins: int) -> NDArray[np.float64]:
    """Matrix [bins, ORDER + 1] from a log power envelope to its mel-cepstrum: cosine transform, then warping."""
    n_fft = 2 * (bins - 1)
    # Cepstrum of the log amplitude: half of the log power; coefficients beyond 0 count twice (the even part).
    k, n = np.arange(bins), np.arange(bins)
    weight = np.where((k == 0) | (k == bins - 1), 1.0, 2.0)
    cosines = 0.5 * weight[:, None] * np.cos(2.0 * np.pi * np.outer(k, n) / n_fft) / n_fft
    cosines[:, 1:-1] *= 2.0
    return cosines @ warp(bins, ORDER, ALPHA)


def warp(size: int, order: int, alpha: float) -> NDArray[np.float64]:
    """Frequency warping of cepstra as a matrix [size, order + 1] (Oppenheim and Johnson, 1972)."""
    matrix = np.zeros((size, order + 1))
    row = np.zeros(order + 1)
    row[0] = 1.0
    # Row n holds the series of ((z - alpha) / (1 - alpha z))^n: the previous row through one all-pass section.
    for n in range(size):
        matrix[n] = row
        after = np.empty_like(row)
        after[0] = alpha * row[0]
        for m in range(1, order + 1):
            after[m] = row[m - 1] + alpha * (row[m] - after[m - 1])
        row = after
    return matrix


def _world(wave: NDArray[Any]) -> dict[str, NDArray[Any]]:
    track = dio(wave, HOP_MS)
    return {"f0": track, "cepstra": _cepstra(wave, track)}


def _compare(ref: Mapping[str, Any], deg: Mapping[str, Any]) -> dict[str, Value]:
    pitch = both_voiced(np.asarray(ref["f0"]), np.asarray(deg["f0"]))
    return {
        "mcd": distance(np.asarray(ref["cepstra"]), np.asarray(deg["cepstra"])),
        "f0_rmse": pitch["rmse"],
        "f0_rmse_cents": pitch["cents"],
        "f0_pcc_voiced": pitch["pcc"],
        "vuv_error": pitch["vuv"],
        "gpe": pitch["gpe"],
    }


METRIC = of_analyses(
    "world",
    (
        Column("mcd", "MCD", "dB", "lower", 0.0, None),
        Column("f0_rmse", "F0-RMSE", "Hz", "lower", 0.0, None, decimals=1),
        Column("f0_rmse_cents", "F0-RMSE", "cents", "lower", 0.0, None, decimals=0),
        Column("f0_pcc_voiced", "F0-PCC (voiced)", "", "higher", -1.0, 1.0, decimals=3),
        Column("vuv_error", "V/UV error", "%", "lower", 0.0, 1.0, decimals=1, scale=100.0),
        Column("gpe", "gross pitch error", "%", "lower", 0.0, 1.0, decimals=1, scale=100.0),
    ),
    _compare,
    analyse=_world,
    packages=("pyworld",),
)
