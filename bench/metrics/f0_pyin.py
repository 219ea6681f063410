"""F0 errors by probabilistic YIN, as librosa has it: the extractor of many papers' tables, and the slowest.

Definition: pYIN, 71 to 800 Hz, frames of 1024 samples every 5 ms, voiced where its Viterbi path says so. f0_pcc_pyin:
Pearson correlation in Hz over frames voiced in both; f0_rmse_pyin: root mean square error in Hz over the same;
vuv_error_pyin: share of frames whose voicing differs. Tracks are cut to the shorter one; no time alignment.
Reference: Mauch and Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions",
ICASSP 2014.
Range: correlation -1 to 1, higher is better; errors from 0, lower is better. Rate: 16 kHz. Level: invariant.
Length: lengths may differ. Failures: unvoiced (no frame voiced in both), constant (no variance), too_short, silence.
Version 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics._common import check
from bench.metrics._tracks import Track
from bench.metrics.f0 import HIGHEST_HZ, LOWEST_HZ, MIN_S, RATE_HZ
from bench.metrics.shapes import of_track

HOP = 80
"""Samples from frame to frame: 5 ms."""


def pyin(wave: NDArray[Any]) -> Track:
    """pYIN: wave [T] at 16 kHz -> F0 in Hz per 5 ms [N], 0 where unvoiced. Raises MetricFailure."""
    import librosa

    samples = check(wave, rate_hz=RATE_HZ, min_s=MIN_S).astype(np.float64)
    hz, voiced, _ = librosa.pyin(
        samples, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=RATE_HZ, hop_length=HOP, frame_length=1024, fill_na=0.0
    )
    return np.where(voiced, hz, 0.0)


METRIC = of_track("pyin", "pYIN", pyin, packages=("librosa",))
