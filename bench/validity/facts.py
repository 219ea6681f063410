"""What is odd about one wave by itself: about an original as its file was read, and about what a decoder returned.

Only what is odd is told, so that ordinary speech adds nothing to a table. Notes on originals concern the data and stand
once under a table; oddities of decoded waves are the codec's and raise alarms (`bench.validity.alarms`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import audio

QUIET_DBFS = -70.0
OVERLONG_S = 0.02
"""Least excess that is told of a codec with shorter frames."""
WRAP_JUMP = 1.5
WRAP_FIT = 0.25
WRAP_SHARE = 0.5
"""Of all jumps: a clipped wave has a few that look alike among many from rail to rail."""
FEWEST_WRAPS = 5


def original_facts(path: Path, channel: int | None, wave: NDArray[Any], rate_hz: int) -> dict[str, float]:
    """What is odd about an original. wave [T] at rate_hz: as the codec hears it. Raises BadAudio.

    original_channels   channels of the file, when they were averaged
    original_peak       largest sample, when beyond full scale: the samples were divided (`bench.audio.full_scale`)
    original_dbfs       level without constant offset, when below -70 dBFS
    original_offset     constant offset, when there is one
    original_wraps      places where samples run over one end of full scale and go on at the other, when there are some
    """
    found: dict[str, float] = {}
    channels, lossless, *_ = audio.header(path)
    if channels > 1 and channel is None:
        found["original_channels"] = float(channels)
    if not lossless and (peak := audio.load(path, channel).peak) > 1.0:
        found["original_peak"] = peak
    if level := _quiet(wave, rate_hz):
        found["original_dbfs"] = level
    return found | {f"original_{name}": value for name, value in _shape(wave, rate_hz).items()}


def decoded_facts(wave: NDArray[Any], rate_hz: int, excess: int = 0, frame: int = 1) -> dict[str, float]:
    """What is odd about a decoded wave [T] at rate_hz, as floats. excess: samples after the end of the padded original.

    decoded_peak     largest sample, when beyond full scale: what is beyond is clipped before scoring
    decoded_offset   constant offset, when there is one
    decoded_wraps    as for originals
    excess_ms        how much longer the output is than was due, when by more than a frame (of at least 20 ms)
    """
    found: dict[str, float] = {}
    wave = np.asarray(wave, np.float32)
    if excess > max(frame, round(OVERLONG_S * rate_hz)):
        found["excess_ms"] = 1000.0 * excess / rate_hz
    if wave.size == 0 or not np.isfinite(wave).all():
        return found
    if (peak := float(np.abs(wave).max())) > 1.0:
        found["decoded_peak"] = peak
    return found | {f"decoded_{name}": value for name, value in _shape(wave, rate_hz).items()}


def _shape(wave: NDArray[Any], rate_hz: int) -> dict[str, float]:
    found: dict[str, float] = {}
    if constant := audio.offset(wave, rate_hz):
        found["offset"] = constant
    if (count := wraps(wave)) >= FEWEST_WRAPS:
        found["wraps"] = float(count)
    return found


def _quiet(wave: NDArray[Any], rate_hz: int) -> float | None:
    level = max(audio.level_dbfs(audio.without_offset(wave, rate_hz)), -200.0)
    return level if level < QUIET_DBFS else None


def wraps(wave: NDArray[Any]) -> int:
    """How often samples run over one end of full scale and go on at the other, as overflowing integers do.

    Such a jump is nearly 2 high, and vanishes when 2 is added to what follows; it neither starts nor ends at the rails
    themselves, where a clipped wave stays.
    """
    x = np.asarray(wave, np.float64)
    if len(x) < 3 or float(np.abs(x).max()) < WRAP_JUMP / 2:
        return 0
    jump = np.diff(x)
    at = np.flatnonzero(np.abs(jump) > WRAP_JUMP)
    at = at[at >= 1]
    rail = np.abs(x).max() - 4 / 32768
    unwrapped = x[at + 1] - 2.0 * np.sign(jump[at])
    expected = 2 * x[at] - x[at - 1]
    inside = (np.abs(x[at]) < rail) & (np.abs(x[at + 1]) < rail)
    found = int(np.sum(inside & (np.abs(unwrapped - expected) < WRAP_FIT)))
    return found if found >= WRAP_SHARE * np.sum(np.abs(jump) > WRAP_JUMP) else 0
