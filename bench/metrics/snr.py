"""SNR: signal-to-noise ratio of the decoded wave, the difference counted as noise.

Definition: SNR = 10 log10(|s|^2 / |s - e|^2) in dB.
Reference: torchmetrics SignalNoiseRatio with zero_mean=False computes the same.
Range: unbounded below; capped at 100 dB, where rounding decides. Higher is better. Rate: 16 kHz.
Level: a gain of the decoded wave counts as noise, and so does its polarity; see SI-SDR for the ratio that forgives both.
Length: equal lengths; only the delay that a codec declares is compensated. Parametric codecs score below 0 dB by nature:
read it for waveform codecs only.
Failures: silence, length, not_finite. Version 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column
from bench.metrics._common import check_pair
from bench.metrics.shapes import of_pair

CAP_DB = 100.0


def snr(ref: NDArray[Any], deg: NDArray[Any], *, rate_hz: int = 16_000) -> float:
    """SNR in dB of `deg` [T] against `ref` [T], capped at CAP_DB. Raises MetricFailure."""
    ref, deg = check_pair(ref, deg, rate_hz=rate_hz)
    s, e = ref.astype(np.float64), deg.astype(np.float64)
    wanted, unwanted = float(s @ s), float((s - e) @ (s - e))
    if unwanted <= wanted * 10.0 ** (-CAP_DB / 10.0):
        return CAP_DB
    return 10.0 * float(np.log10(wanted / unwanted))


METRIC = of_pair("snr", (Column("snr", "SNR", "dB", "higher", None, CAP_DB, margin=0.1, decimals=1),), snr)
