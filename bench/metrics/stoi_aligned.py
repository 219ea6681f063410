"""STOI and ESTOI after the estimated delay is taken off: for audio that was decoded elsewhere, with a delay nobody declared.

Definition. The delay is `delay_ms` of bench.validity.pair_facts: the lag of the largest normalised correlation of the
waveforms within +-500 ms where that is 0.3 or more (exact to a sample), else that of the level envelopes in dB, 5 ms
apart and interpolated, where they correlate by 0.65 or more (exact to about 2 ms). The degraded signal is advanced by it,
both signals are cut to what they then share, and STOI and ESTOI are those of bench.metrics.stoi.
Waveform columns compensate a codec's declared delay only: 62 ms more take STOI from 1 to 0.18. These columns stand beside
them and tell what STOI would be; a delay is still a delay to a listener on a call.
Reference and range: see bench.metrics.stoi. Rate: 16 kHz. Level: invariant. Length: may differ.
Failures: undefined (no delay can be told: silence, or another signal), and those of STOI. Version 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, MetricFailure, Value
from bench.metrics.shapes import of_pair
from bench.metrics.stoi import both
from bench.validity import pair_facts

RATE_HZ = 16_000


def aligned(ref: np.ndarray, deg: np.ndarray, rate_hz: int = RATE_HZ) -> tuple[np.ndarray, np.ndarray]:
    """`ref` [T] and `deg` [T'] -> both [T''], with the estimated delay taken off. Raises MetricFailure("undefined")."""
    delay_ms = pair_facts(ref, deg, rate_hz)["delay_ms"]
    if not np.isfinite(delay_ms):
        raise MetricFailure("undefined", "no delay can be told between these signals")
    lag = round(delay_ms * rate_hz / 1000)
    first, second = ref[max(0, -lag) :], deg[max(0, lag) :]
    shared = min(len(first), len(second))
    return first[:shared], second[:shared]


def _columns(ref: NDArray[Any], deg: NDArray[Any]) -> dict[str, Value]:
    plain, extended = both(*aligned(ref, deg))
    return {"stoi_aligned": plain, "estoi_aligned": extended}


METRIC = of_pair(
    "stoi_aligned",
    (
        Column("stoi_aligned", "STOI aligned", "", "higher", 0.0, 1.0, margin=0.002, decimals=3),
        Column("estoi_aligned", "ESTOI aligned", "", "higher", 0.0, 1.0, margin=0.004, decimals=3),
    ),
    _columns,
    packages=("scipy",),
)
