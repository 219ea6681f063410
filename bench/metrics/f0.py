"""F0 correlation: the FreeCodec recipe, and SwiftF0 as a second extractor. `world` holds the errors on a finer track.

Definitions. Tracks are cut to the shorter one; no time alignment.
f0_pcc: the FreeCodec recipe (through FreeVC): DIO + StoneMask (pyworld, 71 to 800 Hz) every 10 ms, Pearson
correlation in
Hz over ALL frames with 0 Hz where unvoiced; if a track is all unvoiced, both are made again with Harvest (20 to 600
Hz).
It scores voicing as much as melody: other masks and extractors give other numbers, hence other columns.
f0_pcc_swift, f0_rmse_swift, vuv_error_swift: SwiftF0 every 16 ms (voiced when its confidence is at least 0.9, 71 to
800 Hz); correlation and root mean square error in Hz over frames voiced in both; share of frames whose voicing
differs.
Reference: FreeCodec (2024), section 4.3 and issue 4 of FreeVC; Morise et al., "DIO", 2009; Nieradzik, "SwiftF0",
2025.
Range: correlations -1 to 1, higher is better; errors from 0, lower is better. Rate: 16 kHz. Level: invariant.
Length: lengths may differ. Failures: unvoiced (too few frames voiced in both), constant (no variance), too_short,
silence.
Tracks of a signal are computed once and cached. Version 1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, Metric, Signal, Value
from bench.metrics._common import analysis_of, check, package_file, value
from bench.metrics._tracks import Track, all_frames
from bench.metrics.shapes import analyser, of_track

RATE_HZ = 16_000
LOWEST_HZ, HIGHEST_HZ = 71.0, 800.0
CONFIDENCE = 0.9
MIN_S = 0.1


def dio(wave: NDArray[Any], hop_ms: float = 5.0) -> Track:
    """DIO refined by StoneMask: wave [T] at 16 kHz -> F0 in Hz [N]. Raises MetricFailure."""
    pyworld = world()
    samples = check(wave, rate_hz=RATE_HZ, min_s=MIN_S).astype(np.float64)
    coarse, times = pyworld.dio(samples, RATE_HZ, LOWEST_HZ, HIGHEST_HZ, frame_period=hop_ms)
    return np.asarray(pyworld.stonemask(samples, coarse, times, RATE_HZ))


def harvest(wave: NDArray[Any], hop_ms: float = 10.0, low_hz: float = 20.0, high_hz: float = 600.0) -> Track:
    """Harvest, thirty times slower than DIO: wave [T] at 16 kHz -> F0 in Hz [N]. Raises MetricFailure."""
    pyworld = world()
    samples = check(wave, rate_hz=RATE_HZ, min_s=MIN_S).astype(np.float64)
    return np.asarray(pyworld.harvest(samples, RATE_HZ, low_hz, high_hz, frame_period=hop_ms)[0])


@cache
def world() -> Any:
    """pyworld, without its warning about setuptools."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld
    return pyworld


def swift(wave: NDArray[Any]) -> Track:
    """SwiftF0: wave [T] at 16 kHz -> F0 in Hz per 16 ms [N], 0 below the confidence. Raises MetricFailure."""
    found = _swift().detect(check(wave, rate_hz=RATE_HZ, min_s=MIN_S), RATE_HZ, LOWEST_HZ, HIGHEST_HZ)
    return np.where(found.confidence >= CONFIDENCE, found.pitch_hz, 0.0)


@cache
def _swift() -> Any:
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1, spin=False)


_analyse = analyser(lambda wave: {"dio": dio(wave, 10.0)})


def _score(ref: Signal, deg: Signal) -> dict[str, Value]:
    def compute() -> float:
        tracks = [np.asarray(analysis_of(signal, _analyse)["dio"]) for signal in (ref, deg)]
        if not all(track.any() for track in tracks):
            tracks = [harvest(signal.wave) for signal in (ref, deg)]
        return all_frames(*tracks)

    return {"f0_pcc": value(compute)}


METRICS = (
    Metric(
        name="f0_pcc",
        columns=(Column("f0_pcc", "F0-PCC", "", "higher", -1.0, 1.0, decimals=3),),
        score=_score,
        analyse=_analyse,
        packages=("pyworld",),
    ),
    of_track(
        "swift",
        "SwiftF0",
        swift,
        field="swift",
        weights=lambda: [package_file("swift_f0", "model.onnx")],
        packages=("swift-f0", "onnxruntime"),
    ),
)
