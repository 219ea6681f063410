"""PESQ wide band and narrow band: perceptual evaluation of speech quality.

Definition: ITU-T P.862 (narrow band, mapped by P.862.1) and P.862.2 (wide band), ITU reference code behind the
package pesq. Aligns level and time itself; the order is (reference, degraded).
Range: 1.02 to 4.644 (wide band), 1.0 to 4.549 (narrow band), higher is better. Rate: 16 kHz for both.
Level: invariant to 1e-3. Length: lengths may differ; at least 0.25 s; the recommendation covers 8 to 20 s.
Failures: too_short, silence (either side), no_utterance (the activity detector found none), not_finite.
Version 1 (pesq 0.0.4).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import check_pair, check_rate, value

RATE_HZ = 16_000
MIN_S = 0.25


def pesq(ref: NDArray[Any], deg: NDArray[Any], mode: Literal["wb", "nb"] = "wb") -> float:
    """PESQ of `deg` [T'] against `ref` [T], both at 16 kHz. Raises MetricFailure."""
    ref, deg = check_pair(ref, deg, rate_hz=RATE_HZ, min_s=MIN_S, equal=False)
    import pesq as package

    # Doubles, as the golden values were made; the score moves by 1e-6 in single precision.
    try:
        score = float(package.pesq(RATE_HZ, ref.astype(np.float64), deg.astype(np.float64), mode))
    except package.NoUtterancesError as error:
        raise MetricFailure("no_utterance", "no speech activity found") from error
    except package.BufferTooShortError as error:
        raise MetricFailure("too_short", "shorter than 0.25 s") from error
    except (package.PesqError, ValueError) as error:
        raise MetricFailure("tool", str(error)) from error
    if not np.isfinite(score):
        raise MetricFailure("not_finite", "PESQ returned NaN")
    return score


def _scorer(mode: Literal["wb", "nb"], column: str) -> Any:
    def score(ref: Signal, deg: Signal) -> dict[str, Value]:
        return {column: value(lambda: pesq(check_rate(ref, RATE_HZ).wave, check_rate(deg, RATE_HZ).wave, mode))}

    return score


METRICS = (
    Metric(
        name="pesq_wb",
        columns=(Column("pesq_wb", "PESQ-WB", "", "higher", 1.02, 4.644, margin=0.02),),
        score=_scorer("wb", "pesq_wb"),
        packages=("pesq",),
    ),
    Metric(
        name="pesq_nb",
        columns=(Column("pesq_nb", "PESQ-NB", "", "higher", 1.0, 4.549, margin=0.02),),
        score=_scorer("nb", "pesq_nb"),
        packages=("pesq",),
    ),
)
