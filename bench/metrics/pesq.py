"""PESQ wide band and narrow band: perceptual evaluation of speech quality.

Definition: ITU-T P.862 (narrow band, mapped by P.862.1) and P.862.2 (wide band), ITU reference code behind the
package pesq. Aligns level and time itself; the order is (reference, degraded). Wide band is P.862.2 as of 2007, without
its Corrigendum 2 of 2018: coded speech scores about 0.9 lower than with it. Papers use the older one, as here; numbers of
tools with the corrigendum do not compare.
Range: 1.02 to 4.644 (wide band), 1.0 to 4.549 (narrow band), higher is better. Rate: 16 kHz for both.
Level: invariant to 1e-3. Length: lengths may differ; at least 0.25 s; the recommendation covers 8 to 20 s. At most 100 s,
and 45 stretches of speech: the reference code has room for 50 and writes beyond its memory after that.
Failures: too_short, too_long, silence (either side), no_utterance (the activity detector found none), not_finite.
Version 1 (pesq 0.0.4).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, MetricFailure
from bench.metrics._common import check_pair
from bench.metrics.shapes import of_pair

RATE_HZ = 16_000
MIN_S = 0.25
MAX_S = 100.0
MAX_STRETCHES = 45
SURE_S = 20.0
"""Clips up to this long cannot hold 50 stretches, which take 200 ms each and 200 ms between them."""
FRAME = 64
LEAST_FRAMES, JOINED_FRAMES, CLICK_FRAMES = 50, 50, 4


def pesq(ref: NDArray[Any], deg: NDArray[Any], mode: Literal["wb", "nb"] = "wb") -> float:
    """PESQ of `deg` [T'] against `ref` [T], both at 16 kHz. Raises MetricFailure."""
    ref, deg = check_pair(ref, deg, rate_hz=RATE_HZ, min_s=MIN_S, equal=False)
    _check_long(ref, deg)
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


def _check_long(ref: NDArray[Any], deg: NDArray[Any]) -> None:
    seconds = max(ref.size, deg.size) / RATE_HZ
    if seconds > MAX_S:
        raise MetricFailure("too_long", f"{seconds:.0f} s; PESQ takes {MAX_S:.0f} s at most: cut the recording into sentences")
    if seconds > SURE_S and (count := stretches(ref)) > MAX_STRETCHES:
        raise MetricFailure("too_long", f"{count} stretches of speech; PESQ has room for {MAX_STRETCHES}: cut the recording")


def stretches(wave: NDArray[Any]) -> int:
    """Stretches of speech of `wave` [T] about as P.862 finds them: 4 ms frames above twice the deviation of the noise,
    clicks left out, joined over pauses of 200 ms, at least 200 ms long."""
    x = wave.astype(np.float64) - wave.mean(dtype=np.float64)
    power = np.square(x[: x.size // FRAME * FRAME]).reshape(-1, FRAME).mean(axis=1)
    power = np.maximum(power, 1e-4 * power.max())
    level = power.mean()
    for _ in range(12):
        noise = power[power <= level]
        if noise.size == 0:
            break
        level = 1.001 * (noise.mean() + 2.0 * noise.std())
    runs = _runs(power > level)
    runs = runs[runs[:, 1] - runs[:, 0] > CLICK_FRAMES]
    if len(runs) == 0:
        return 0
    breaks = np.flatnonzero(runs[1:, 0] - runs[:-1, 1] > JOINED_FRAMES)
    starts, ends = runs[np.r_[0, breaks + 1], 0], runs[np.r_[breaks, len(runs) - 1], 1]
    return int(np.sum(ends - starts >= LEAST_FRAMES))


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.intp]:
    """First and last + 1 of every run of True, [R, 2]."""
    return np.flatnonzero(np.diff(np.r_[False, flags, False])).reshape(-1, 2)


METRICS = (
    of_pair(
        "pesq_wb",
        (Column("pesq_wb", "PESQ-WB", "", "higher", 1.02, 4.644, margin=0.02),),
        partial(pesq, mode="wb"),
        packages=("pesq",),
    ),
    of_pair(
        "pesq_nb",
        (Column("pesq_nb", "PESQ-NB", "", "higher", 1.0, 4.549, margin=0.02),),
        partial(pesq, mode="nb"),
        packages=("pesq",),
    ),
)
