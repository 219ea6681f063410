"""STOI and ESTOI: short-time objective intelligibility.

Definition. Both signals at 10 kHz; frames of 256 samples (Hann, 50 % overlap); frames of the reference more than 40
dB below its loudest are dropped from both; 512-point DFT into 15 third-octave bands from 150 Hz; segments of 30
frames (384 ms). STOI: mean over bands and segments of the correlation of band envelopes after scaling the degraded
one to the reference's energy and clipping it at -15 dB signal-to-distortion. ESTOI: rows, then columns of every
segment are normalised to zero mean and unit length, and the score is their mean inner product.
Reference: Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech", IEEE
TASLP 2011, eqs. 1-6; Jensen and Taal, "An Algorithm for Predicting the Intelligibility of Speech Masked by Modulated
Noise Maskers", IEEE/ACM TASLP 2016. Equal to pystoi 0.4.1 to 1e-6, in one pass for both scores.
Range: about 0 to 1 (ESTOI may fall slightly below 0), higher is better. Rate: 16 kHz.
Level: invariant to a common and to an individual gain. Length: equal lengths; no time alignment: only the delay that a
codec declares is compensated before. 10 ms of other delay cost 0.14, and audio that was decoded elsewhere with a delay of
62 ms scored 0.18: the pair's `delay_ms` tells. Fewer than 30 frames after silence removal: failure too_short.
Version 1.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.metrics import Column, MetricFailure, Value
from bench.metrics._common import check_pair
from bench.metrics._spectra import third_octaves
from bench.metrics.shapes import of_pair

RATE_HZ = 10_000
FRAME = 256
HOP = 128
DFT = 512
BANDS = 15
LOWEST_HZ = 150.0
SEGMENT = 30
CLIP = 1.0 + 10.0 ** (15.0 / 20.0)
DYNAMIC_RANGE_DB = 40.0
_EPS = np.finfo(np.float64).eps

Array = NDArray[np.float64]


def stoi(ref: NDArray[Any], deg: NDArray[Any], rate_hz: int = 16_000) -> float:
    """STOI of `deg` [T] against `ref` [T]. Raises MetricFailure."""
    return _stoi(*_segments(ref, deg, rate_hz))


def estoi(ref: NDArray[Any], deg: NDArray[Any], rate_hz: int = 16_000) -> float:
    """ESTOI of `deg` [T] against `ref` [T]. Raises MetricFailure."""
    return _estoi(*_segments(ref, deg, rate_hz))


def both(ref: NDArray[Any], deg: NDArray[Any], rate_hz: int = 16_000) -> tuple[float, float]:
    """(STOI, ESTOI) from one analysis of both signals. Raises MetricFailure."""
    pair = _segments(ref, deg, rate_hz)
    return _stoi(*pair), _estoi(*pair)


def _segments(ref: NDArray[Any], deg: NDArray[Any], rate_hz: int) -> tuple[Array, Array]:
    """Third-octave envelopes of both signals as overlapping segments [S, BANDS, SEGMENT]."""
    ref, deg = check_pair(ref, deg, rate_hz=rate_hz, min_s=0.1)
    x, y = _drop_silent(_to_10k(ref, rate_hz), _to_10k(deg, rate_hz))
    bands_x, bands_y = _bands(x), _bands(y)
    if bands_x.shape[0] < SEGMENT:
        raise MetricFailure("too_short", f"{bands_x.shape[0]} frames of speech, needs {SEGMENT} (0.4 s)")
    windows = (np.lib.stride_tricks.sliding_window_view(bands, SEGMENT, axis=0) for bands in (bands_x, bands_y))
    seg_x, seg_y = (np.ascontiguousarray(window) for window in windows)
    return seg_x, seg_y


def _stoi(x: Array, y: Array) -> float:
    gain = np.linalg.norm(x, axis=2, keepdims=True) / (np.linalg.norm(y, axis=2, keepdims=True) + _EPS)
    y = np.minimum(y * gain, x * CLIP)
    x = x - x.mean(axis=2, keepdims=True)
    y = y - y.mean(axis=2, keepdims=True)
    norms = (np.linalg.norm(x, axis=2) + _EPS) * (np.linalg.norm(y, axis=2) + _EPS)
    return float(np.mean(np.einsum("sbt,sbt->sb", x, y) / norms))


def _estoi(x: Array, y: Array) -> float:
    # The published code adds noise of one epsilon against division by zero; a fixed seed makes it a function.
    noise = np.random.default_rng(0)
    x, y = _normalise(x, noise), _normalise(y, noise)
    return float(np.einsum("sbt,sbt->", x, y) / (SEGMENT * x.shape[0]))


def _normalise(segments: Array, noise: np.random.Generator) -> Array:
    """Zero mean and unit length along frames, then along bands."""
    for axis in (2, 1):
        segments = segments + _EPS * noise.standard_normal(segments.shape)
        segments -= segments.mean(axis=axis, keepdims=True)
        segments /= np.linalg.norm(segments, axis=axis, keepdims=True)
    return segments


@cache
def _resampling_filter(up: int, down: int) -> Array:
    """The 60 dB Kaiser-windowed sinc of Octave's `resample`, unit sum."""
    cutoff = 1.0 / (2.0 * max(up, down))
    half = int(np.ceil((60.0 - 8.0) / (28.714 * cutoff / 10.0)))
    t = np.arange(-half, half + 1)
    taps = np.sinc(2.0 * cutoff * t) * np.kaiser(2 * half + 1, 0.1102 * (60.0 - 8.7))
    return taps / taps.sum()


def _to_10k(wave: NDArray[Any], rate_hz: int) -> Array:
    wave = wave.astype(np.float64)
    if rate_hz == RATE_HZ:
        return wave
    common = int(np.gcd(RATE_HZ, rate_hz))
    return _resample(wave, RATE_HZ // common, rate_hz // common)


def _resample(wave: Array, up: int, down: int) -> Array:
    """`wave` [T] at up / down times its rate, [ceil(T up / down)]: scipy.signal.resample_poly with the filter above.

    Written out because importing scipy.signal takes longer than scoring a minute of speech.
    """
    taps = up * _resampling_filter(up, down)
    half = taps.size // 2
    count = -(-wave.size * up // down)
    width = 2 * half // up + 1
    padded = np.pad(wave, (width, width + down))
    out = np.empty(count)
    for phase in range(min(up, count)):
        # Output n stands at n * down of the signal with up - 1 zeros between samples; its first sample within reach:
        first = -((half - phase * down) // up)
        index = half + phase * down - up * (first + np.arange(width))
        weights = np.where(index >= 0, taps[index], 0.0)
        windows = np.lib.stride_tricks.sliding_window_view(padded[first + width :], width)[::down]
        out[phase::up] = windows[: len(out[phase::up])] @ weights
    return out


@cache
def _window() -> Array:
    return np.hanning(FRAME + 2)[1:-1]


def _frames(wave: Array) -> Array:
    """Windowed frames [N, FRAME]; the frame that would end at the last sample is left out, as in the original."""
    count = max(0, -(-(wave.size - FRAME) // HOP))
    if count == 0:
        raise MetricFailure("too_short", f"{wave.size} samples at 10 kHz hold no frame")
    return np.lib.stride_tricks.sliding_window_view(wave, FRAME)[: count * HOP : HOP] * _window()


def _drop_silent(ref: Array, deg: Array) -> tuple[Array, Array]:
    frames_ref, frames_deg = _frames(ref), _frames(deg)
    level = 20.0 * np.log10(np.linalg.norm(frames_ref, axis=1) + _EPS)
    keep = level.max() - DYNAMIC_RANGE_DB - level < 0
    return _overlap_add(frames_ref[keep]), _overlap_add(frames_deg[keep])


def _overlap_add(frames: Array) -> Array:
    halves = frames.reshape(frames.shape[0], 2, HOP)
    out = np.zeros((frames.shape[0] + 1, HOP))
    out[:-1] += halves[:, 0]
    out[1:] += halves[:, 1]
    return out.reshape(-1)


def _bands(wave: Array) -> Array:
    """Third-octave magnitudes [N, BANDS]."""
    from scipy.fft import rfft

    spectrum = rfft(_frames(wave), DFT, axis=1)
    return np.sqrt((spectrum.real**2 + spectrum.imag**2) @ third_octaves(RATE_HZ, DFT, BANDS, LOWEST_HZ).T)


def _columns(ref: NDArray[Any], deg: NDArray[Any]) -> dict[str, Value]:
    plain, extended = both(ref, deg)
    return {"stoi": plain, "estoi": extended}


METRIC = of_pair(
    "stoi",
    (
        Column("stoi", "STOI", "", "higher", 0.0, 1.0, margin=0.002, decimals=3),
        Column("estoi", "ESTOI", "", "higher", 0.0, 1.0, margin=0.004, decimals=3),
    ),
    _columns,
    packages=("scipy",),
)
