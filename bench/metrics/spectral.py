"""Distances between magnitude spectra: mel, STFT, and multi-resolution STFT.

Definitions, all on 16 kHz signals with centred frames (reflected ends) and periodic Hann windows:
mel_distance, stft_distance: DFT 1024, hop 320; mel_distance on 80 HTK mel bands of the magnitude; 10 log10(max(x, 1e-10)),
Euclidean norm of the difference over bands (bins) per frame, mean over frames. The FocalCodec authors' MelD and STFTD
(repository audiocodecs, logged beside the paper's columns).
mrstft: mean over three resolutions (DFT 1024, 2048, 512; hop 120, 240, 50; window 600, 1200, 240) of spectral convergence
|S - S'| / |S| (Frobenius norms) plus mean |ln S - ln S'|, S = sqrt(max(|STFT|^2, 1e-8)). Yamamoto et al., "Parallel
WaveGAN", ICASSP 2020, eqs. 4-6; equal to auraloss 0.4.0.
Range: 0 upwards, LOWER is better. Rate: 16 kHz. Level: not invariant. Length: equal; only the delay that a codec declares
is compensated. Failures: length, silence, too_short, not_finite. Version 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column
from bench.metrics._common import Wave, check_pair
from bench.metrics._spectra import magnitudes, mel_bank
from bench.metrics.shapes import of_pair

RATE_HZ = 16_000
DFT, HOP, BANDS = 1024, 320, 80
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))
"""(DFT, hop, window) in samples."""


def distances(ref: NDArray[Any], deg: NDArray[Any]) -> dict[str, float]:
    """mel_distance and stft_distance in dB of `deg` [T] from `ref` [T], by column name. Raises MetricFailure."""
    pair = [magnitudes(wave, DFT, HOP) for wave in _checked(ref, deg)]
    bank = mel_bank(RATE_HZ, DFT, BANDS, scale="htk", area=False).astype(np.float32).T
    return {
        "mel_distance": _frame_distance(pair[0] @ bank, pair[1] @ bank),
        "stft_distance": _frame_distance(pair[0], pair[1]),
    }


def mrstft(ref: NDArray[Any], deg: NDArray[Any]) -> float:
    """Multi-resolution STFT distance of `deg` [T] from `ref` [T]. Raises MetricFailure."""
    ref, deg = _checked(ref, deg)
    total = 0.0
    for n_fft, hop, win in RESOLUTIONS:
        s, e = (np.maximum(magnitudes(wave, n_fft, hop, win), np.float32(1e-4)) for wave in (ref, deg))
        convergence = float(np.linalg.norm(s - e) / np.linalg.norm(s))
        total += convergence + float(np.mean(np.abs(np.log(s) - np.log(e))))
    return total / len(RESOLUTIONS)


def _checked(ref: NDArray[Any], deg: NDArray[Any]) -> tuple[Wave, Wave]:
    # Reflecting half of the longest window needs more than that many samples.
    return check_pair(ref, deg, rate_hz=RATE_HZ, min_s=0.1)


def _frame_distance(ref: NDArray[Any], deg: NDArray[Any]) -> float:
    decibels = [10.0 * np.log10(np.maximum(x, np.float32(1e-10))) for x in (ref, deg)]
    return float(np.mean(np.linalg.norm(decibels[0] - decibels[1], axis=1), dtype=np.float64))


METRIC = of_pair(
    "spectral",
    (
        Column("mel_distance", "MelD", "dB", "lower", 0.0, None, decimals=1),
        Column("stft_distance", "STFTD", "dB", "lower", 0.0, None, decimals=1),
        Column("mrstft", "multi-resolution STFT", "", "lower", 0.0, None),
    ),
    lambda ref, deg: {**distances(ref, deg), "mrstft": mrstft(ref, deg)},
    packages=("scipy",),
)
