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
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Analysis, Column, Metric, MetricFailure, Signal, Value
from bench.metrics._common import (
    Wave,
    analysis_of,
    check,
    check_rate,
    check_sha256,
    each,
    one_thread,
    package_file,
    quiet_stdout,
    value,
)

RATE_HZ = 16_000
SEGMENT = 122_880
MAX_HOP = 16_000
MIN_S = 0.1
FRAME_HOP, FRAMES = 160, 768
MARGIN = 8
"""Feature frames (two spectrogram frames each) beyond the reach of the convolutions."""
SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"


def segments(wave: NDArray[Any]) -> Wave:
    """wave [T] at 16 kHz -> segments [S, 122880], each with a peak of 1. Raises MetricFailure."""
    wave = check(wave, rate_hz=RATE_HZ, min_s=MIN_S)
    spare = max(0, wave.size - SEGMENT)
    wave = np.pad(wave, (0, max(0, SEGMENT - wave.size)))
    positions = np.linspace(0.0, 1.0, int(np.ceil(spare / MAX_HOP)) + 1)
    cut = np.stack([wave[int(p * spare) : int(p * spare) + SEGMENT] for p in positions])
    return cut / (np.abs(cut).max(axis=1, keepdims=True) + np.float32(1e-8))


def distillmos(wave: NDArray[Any]) -> float:
    """DistillMOS of `wave` [T] at 16 kHz. Raises MetricFailure."""
    import torch

    network = _network()
    with torch.inference_mode(), one_thread():
        # One segment at a time fits the cache of a CPU core: 20 % faster than a batch of four.
        outputs = [network.transformer_pool_attn(_features(segment)) for segment in segments(wave)]
    return float(np.mean([1.0 + 4.0 * float(output) for output in outputs]))


def _features(segment: Wave) -> Any:
    """Features [1, 384, 1024] of one segment [122880].

    The convolutions see 6 spectrogram frames to each side and halve the frame rate, so behind the last sample that is
    not zero the features are those of silence. Short clips are half silence: that half is computed once for all.
    """
    import torch

    heard = np.flatnonzero(segment)
    last = int(heard[-1]) if heard.size else 0  # a segment of a long pause may hold nothing but zeros
    frames = min(FRAMES, last // FRAME_HOP + 2 + 4 * MARGIN)
    frames += frames % 2
    part = _network().cnn(torch.from_numpy(segment[None, : frames * FRAME_HOP]))
    if frames < FRAMES:
        known = frames // 2 - MARGIN
        part = torch.cat([part[..., :known], _silence()[..., known:]], dim=-1)
    return part.permute(0, 2, 1)


@cache
def _silence() -> Any:
    """Features [1, 1024, 384] of a segment of zeros."""
    import torch

    return _network().cnn(torch.zeros(1, SEGMENT))


def _file() -> Path:
    return package_file("distillmos", "weights", "distill_mos_v7.pt")


@cache
def _network() -> Any:
    import torch

    weights = check_sha256(_file(), SHA256)
    with quiet_stdout():
        from distillmos.sqa import ConvTransformerSQAModel

        network = ConvTransformerSQAModel(load_weights=False, segmenting_in_forward=False)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["model"])
    for module in network.modules():
        if isinstance(module, torch.nn.LeakyReLU):
            module.inplace = True
    return network.eval()


def _analyse(signals: Sequence[Signal]) -> list[Analysis | MetricFailure]:
    return each(signals, lambda signal: {"score": distillmos(check_rate(signal, RATE_HZ).wave)})


def _score(ref: Signal, deg: Signal) -> dict[str, Value]:
    return {"distillmos": value(lambda: float(analysis_of(deg, _analyse)["score"]))}


METRIC = Metric(
    name="distillmos",
    columns=(Column("distillmos", "DistillMOS", "", "higher", 1.0, 5.0, margin=0.02),),
    score=_score,
    analyse=_analyse,
    packages=("distillmos", "xls_r_sqa", "torch"),
    weights=lambda: [_file()],
    one_sided=True,
)
