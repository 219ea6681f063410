"""DistillMOS: no-reference predictor of opinion scores, distilled from XLS-R.

Definition. The wave is zero-padded to 7.68 s (122,880 samples) if shorter, else cut into evenly spaced overlapping
segments of that length with at most 1 s between starts; every segment is divided by its peak; the score is the mean
over segments of the network's output.
Reference: Stahl and Gamper, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech
Quality Assessment", ICASSP 2025; package distillmos 0.9.1 with its weights (MIT). It stands beside UTMOS and is not
UTMOS.
Range: 1 to 5, higher is better. Rate: 16 kHz. Level: invariant for clips of one segment (peak-normalised).
Length: any from 0.1 s. Alone it misleads at very low rates: read it beside the error rates.
Failures: too_short, silence, not_finite. Segments have one length, so batches equal single runs.
Version 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Signal
from bench.metrics._common import Wave, check, check_rate, check_sha256, package_file
from bench.metrics.networks import Network
from bench.metrics.shapes import of_wave

RATE_HZ = 16_000
SEGMENT = 122_880
MAX_HOP = 16_000
MIN_S = 0.1
SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"


def distillmos(wave: NDArray[Any]) -> float:
    """DistillMOS of `wave` [T] at 16 kHz. Raises MetricFailure."""
    return float(NETWORK.of(wave)["score"])  # type: ignore[arg-type]


def segments(wave: NDArray[Any]) -> Wave:
    """wave [T] at 16 kHz -> segments [S, 122880], each with a peak of 1. Raises MetricFailure."""
    wave = check(wave, rate_hz=RATE_HZ, min_s=MIN_S)
    spare = max(0, wave.size - SEGMENT)
    wave = np.pad(wave, (0, max(0, SEGMENT - wave.size)))
    positions = np.linspace(0.0, 1.0, int(np.ceil(spare / MAX_HOP)) + 1)
    cut = np.stack([wave[int(p * spare) : int(p * spare) + SEGMENT] for p in positions])
    return cut / (np.abs(cut).max(axis=1, keepdims=True) + np.float32(1e-8))


def up_to_last_sound(segment: Wave) -> Wave:
    """`segment` [T] without the zeros at its end; one sample of a segment of zeros, as a long pause may give."""
    heard = np.flatnonzero(segment)
    return segment[: int(heard[-1]) + 1 if heard.size else 1]


def _path() -> Path:
    return package_file("distillmos", "weights", "distill_mos_v7.pt")


def _load(device: str) -> Any:
    from bench.metrics.networks.distillmos import from_file

    return from_file(check_sha256(_path(), SHA256), device)


def _read(signal: Signal) -> Sequence[Wave]:
    return [up_to_last_sound(segment) for segment in segments(check_rate(signal, RATE_HZ).wave)]


def _result(outputs: Any) -> Analysis:
    return {"score": float(np.mean(1.0 + 4.0 * outputs.double().numpy()))}


# One segment at a time fits the cache of a CPU core: 20 % faster than a batch of four.
NETWORK = Network(
    name="distillmos",
    load=_load,
    read=_read,
    run=lambda network, batch: network(batch),
    result=_result,
    weights=lambda: [_path()],
    row_s=lambda length: SEGMENT / RATE_HZ,
    bytes_per_s=20e6,
    cpu_rows=1,
)

METRIC = of_wave(
    "distillmos",
    (Column("distillmos", "DistillMOS", "", "higher", 1.0, 5.0, margin=0.02),),
    NETWORK,
    packages=("distillmos", "xls_r_sqa", "torch"),
)
