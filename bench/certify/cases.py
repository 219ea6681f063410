"""The signals on which definitions are recomputed: edge cases that ship with the package (tools/make_cases.py)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import audio

FOLDER = Path(__file__).resolve().parent / "cases"
TEXT = "Cheap paint will never last through a harsh winter."
"""What is said in the case "speech"."""
FEW = ("speech", "short", "rate_24k")
"""Enough for networks with random weights."""

Wave = NDArray[np.float32]


@cache
def waves() -> Mapping[str, tuple[Wave, int]]:
    """Case -> (wave [T], Hz): speech, short (20 ms), silent_start, clipped, noisy, band_limited, rate_24k, two_voices."""
    return {path.stem: audio.read(path) for path in sorted(FOLDER.glob("*.flac"))}


def at(name: str, rate_hz: int) -> Wave:
    """The wave [T] of a case at `rate_hz`."""
    wave, rate = waves()[name]
    return audio.resample(wave, rate, rate_hz)


def degraded(name: str, rate_hz: int) -> Wave:
    """The case [T], quieter, coarser and noisier: something for metrics to score."""
    wave = at(name, rate_hz)
    noise = np.random.default_rng(len(name)).standard_normal(len(wave)).astype(np.float32)
    return (np.round(wave * 48) / 60 + 0.002 * noise).astype(np.float32)
