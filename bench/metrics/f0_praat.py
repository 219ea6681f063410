"""F0 errors by Praat's autocorrelation method: the extractor of phonetics, fast, and the steadiest on vocoded speech.

Definition: Praat's "To Pitch (ac)", 71 to 800 Hz, every 5 ms, other settings as Praat has them. f0_pcc_praat: Pearson
correlation in Hz over frames voiced in both; f0_rmse_praat: root mean square error in Hz over the same; vuv_error_praat:
share of frames whose voicing differs. Tracks are cut to the shorter one; no time alignment.
Reference: Boersma, "Accurate short-term analysis of the fundamental frequency", IFA Proceedings 17, 1993.
Range: correlation -1 to 1, higher is better; errors from 0, lower is better. Rate: 16 kHz. Level: invariant.
Length: lengths may differ. Failures: unvoiced (no frame voiced in both), constant (no variance), too_short, silence.
The package praat-parselmouth is under the GPL; it is not needed for anything else. Version 1.
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


def praat(wave: NDArray[Any]) -> Track:
    """Praat's autocorrelation: wave [T] at 16 kHz -> F0 in Hz per 5 ms [N], 0 where unvoiced. Raises MetricFailure."""
    import parselmouth

    samples = check(wave, rate_hz=RATE_HZ, min_s=MIN_S).astype(np.float64)
    sound = parselmouth.Sound(samples, RATE_HZ)
    pitch = sound.to_pitch_ac(time_step=HOP / RATE_HZ, pitch_floor=LOWEST_HZ, pitch_ceiling=HIGHEST_HZ)
    return np.asarray(pitch.selected_array["frequency"], np.float64)


METRIC = of_track("praat", "Praat", praat, packages=("praat-parselmouth",))
