"""SI-SDR: scale-invariant signal-to-distortion ratio.

Definition: means removed; a = <e, s> / |s|^2; SI-SDR = 10 log10(|a s|^2 / |a s - e|^2) in dB.
Reference: Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, eq. 3 (which assumes zero mean). VERSA does not
remove the means: on signals with a constant offset its numbers differ.
Range: unbounded below; capped at 100 dB, because an identical pair is limited by rounding only. Higher is better.
Rate: 16 kHz. Level: invariant to the gain of either signal; polarity is not seen. Length: equal lengths; only the
delay that a codec declares is compensated.
Parametric codecs score below 0 dB by nature: read the column for waveform codecs only.
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


def si_sdr(ref: NDArray[Any], deg: NDArray[Any], *, zero_mean: bool = True, rate_hz: int = 16_000) -> float:
    """SI-SDR in dB of `deg` [T] against `ref` [T], capped at CAP_DB. Raises MetricFailure."""
    ref, deg = check_pair(ref, deg, rate_hz=rate_hz)
    s, e = ref.astype(np.float64), deg.astype(np.float64)
    if zero_mean:
        s, e = s - s.mean(), e - e.mean()
    target = (e @ s / (s @ s)) * s
    noise = target - e
    wanted, unwanted = float(target @ target), float(noise @ noise)
    if unwanted <= wanted * 10.0 ** (-CAP_DB / 10.0):
        return CAP_DB
    return 10.0 * float(np.log10(max(wanted, np.finfo(np.float64).tiny) / unwanted))


METRIC = of_pair("si_sdr", (Column("si_sdr", "SI-SDR", "dB", "higher", None, CAP_DB, margin=0.1, decimals=1),), si_sdr)
